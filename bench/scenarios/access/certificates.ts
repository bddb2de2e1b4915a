/**
 * How fast certificates are issued: session certificates by the authority, as gateways request them, and the same by
 * `ssh-keygen -s`, one per call and many per call. The authority checks user, roles, locks and node each time, and commits
 * a row and an audit row before it signs; ssh-keygen only signs.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { connectAuthority } from '#runtime/service/authority-client.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import { generateKey, loadPrivateKey } from '#runtime/ssh/keys.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { cpuSeconds } from '../../field.js';
import type { Field } from '../../field.js';
import { interleave, round3 } from '../../measure.js';
import type { Figure, Section } from '../../measure.js';

/** Concurrent requests, as from a few busy gateways. */
const CONCURRENCY = 64;
const CALLS = 50;

export async function certificates(field: Field, rounds: number, count: number): Promise<Section> {
  process.stderr.write('certificates\n');
  const { steno } = field;
  const run = steno.run as typeof steno.run & { readonly authority: string; readonly socket: string };
  const log = pino({ level: 'silent' });
  const identity = await openServiceIdentity({ kind: 'gateway', name: 'bench', socket: run.socket }, { log, clock: Date.now });
  const client = connectAuthority({ url: run.authority, identity }, { log });
  await client.ready();
  const user_certificate = readFileSync(join(steno.folder, 'home', 'id_ed25519-cert.pub'), 'utf8').split(' ')[1]!;
  const certificate = Buffer.from(user_certificate, 'base64');
  const key = loadPrivateKey(readFileSync(join(steno.folder, 'home', 'id_ed25519'), 'utf8'));
  const lines = Array.from({ length: 256 }, () => formatPublicLine(generateKey().publicBlob));

  const folder = join(steno.folder, 'certificates');
  mkdirSync(folder);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'ca')]);
  const files = Array.from({ length: count }, (_, i) => join(folder, `${i}.pub`));
  files.forEach((file, i) => writeFileSync(file, `${lines[i % lines.length]!}\n`));
  const sign = (...keys: readonly string[]): void =>
    void execFileSync('ssh-keygen', ['-q', '-s', join(folder, 'ca'), '-I', 'bench', '-n', steno.login, '-V', '+5m', ...keys]);

  const cpu = (): number => cpuSeconds(run.processes['authority']!);
  const perCore: number[] = [];
  const perSecond = (n: number, work: () => Promise<void> | void) => async (): Promise<number> => {
    const start = performance.now();
    await work();
    return (n * 1000) / (performance.now() - start);
  };
  const issue = async (): Promise<void> => {
    const before = cpu();
    let next = 0;
    await Promise.all(
      Array.from({ length: CONCURRENCY }, async () => {
        while (next < count) {
          const public_key = lines[next++ % lines.length]!;
          await client.sessionCertificate({
            user: steno.login,
            login: steno.login,
            node: run.node,
            public_key,
            user_certificate,
            source_address: '127.0.0.1',
            proof: signUserProof(key, certificate, { userName: steno.login }),
          });
        }
      }),
    );
    perCore.push(count / (cpu() - before));
  };
  try {
    const figures = await interleave(
      [
        { name: 'authority', run: perSecond(count, issue) },
        { name: 'ssh-keygen', run: perSecond(CALLS, () => files.slice(0, CALLS).forEach((file) => sign(file))) },
        { name: 'ssh-keygen, all in one call', run: perSecond(count, () => sign(...files)) },
      ],
      rounds,
    );
    // The first run warms up and is not counted.
    const measured = perCore.slice(1).sort((a, b) => a - b);
    const shown = ({ median, min, max }: Pick<Figure, 'median' | 'min' | 'max'>): string =>
      `${round3(median)} (${round3(min)}–${round3(max)})`;
    const core = { median: measured[Math.floor(measured.length / 2)]!, min: measured[0]!, max: measured.at(-1)! };
    return {
      title: 'Certificates a second',
      how: `Session certificates (Ed25519), ${count} a round, median (least–most) of ${rounds} rounds. The authority answers ${CONCURRENCY} requests at once over mutual TLS, each checked, committed with its audit row to SQLite (synchronous=FULL) and signed; "in one core" divides by the CPU time of its process, all threads. \`ssh-keygen -s\` checks and stores nothing.`,
      header: ['authority', 'authority, in one core', '`ssh-keygen -s`, a call each', '`ssh-keygen -s`, all in one call'],
      rows: [[shown(figures[0]!), shown(core), shown(figures[1]!), shown(figures[2]!)]],
    };
  } finally {
    client.close();
    identity.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
