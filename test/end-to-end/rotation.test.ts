/** Every CA gets a new key, twice, while users work: no restart, no session ended, and old recordings still verify. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaReport } from '#schemas/api/services/ca.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import type { Terminal } from './machine.js';
import { startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';

const steno = new Steno();
let node: StockNode;
const must = async (...args: readonly string[]): Promise<string> => {
  const { status, stdout, stderr } = await steno.steno(...args);
  if (status !== 0) throw new Error(`steno ${args.join(' ')}: ${status}\n${stderr}\n${steno.logs()}`);
  return stdout;
};
const logIn = (): Promise<string> => must('login', '--data', steno.data);
const home = (name: string): string => readFileSync(join(steno.folder, 'home', name), 'utf8');
const signer = (file: string): string => formatPublicLine(parseCertificate(parseAuthorizedLine(home(file)).blob).signatureKey);

beforeAll(async () => {
  await steno.start();
  await logIn();
  node = await startStockNode(steno, 'stock');
}, 120_000);
afterAll(async () => {
  await node?.stop();
  await steno.dispose();
});

describe('rotation of every CA', () => {
  const live: Terminal[] = [];
  let processes: Readonly<Record<string, number>>;
  let old: { readonly session: string; readonly file: string; readonly ca: string };

  beforeAll(async () => {
    processes = steno.run.processes;
    expect((await steno.ssh('-T', `${steno.login}@local.steno`, 'echo before')).stdout).toBe('before\n');
    const [row] = await eventually(
      () => viewerOf(steno).sessions(),
      ([first]) => first?.state === 'sealed',
    );
    old = { session: row!.id, file: join(steno.folder, 'old.cast.zst'), ca: join(steno.folder, 'old-recording-ca.pub') };
    await must('export', old.session, '-o', old.file);
    writeFileSync(old.ca, await must('ca', 'export', 'recording'));
    for (const host of ['local', 'stock']) {
      const terminal = steno.terminal('ssh', ['-tt', '-F', steno.config, `${steno.login}@${host}.steno`]);
      terminal.write('PS1="ready>"; echo begun-$((40+2))\n');
      await terminal.until(/begun-42/);
      live.push(terminal);
    }
  }, 120_000);

  /** Both sessions still answer. */
  const stillAnswer = async (word: string): Promise<void> => {
    for (const terminal of live) {
      terminal.write(`echo ${word}-$((1+1))\n`);
      await terminal.until(new RegExp(`${word}-2`));
    }
  };
  const renewedFor = (name: string): Promise<CaReport> =>
    eventually(
      async () => (await steno.json<CaReport[]>('ca', 'status')).find((report) => report.name === name)!,
      (report) => report.waits_for.length === 0,
    );
  const into = async (host: string): Promise<void> => {
    const { status, stdout, stderr } = await steno.ssh('-T', `${steno.login}@${host}.steno`, 'echo in');
    expect({ status, stdout, stderr, logs: status === 0 ? '' : steno.logs() }).toMatchObject({ status: 0, stdout: 'in\n' });
  };

  it.each(['init', 'update-clients', 'update-servers', 'standby'])(
    'in phase %s live sessions continue, and users who logged in before or log in now are admitted',
    async (phase) => {
      const before = signer('id_ed25519-cert.pub');
      for (const name of ['ssh-host', 'recording', 'x509-service']) await renewedFor(name);
      if (phase === 'standby') {
        // The operator of an sshd without agent must do this before the old host key is dropped.
        writeFileSync(`${node.hostKey}-cert.pub`, await must('ca', 'sign-host', `${node.hostKey}.pub`, '--name', 'stock'));
        node.reload();
      }
      await must('ca', 'rotate', 'all', '--phase', phase);
      if (phase === 'init') writeFileSync(node.userCa, await must('ca', 'export', 'user'));
      await stillAnswer(phase);
      // With the earlier certificate, as long as its CA key is trusted.
      if (phase !== 'standby') for (const host of ['local', 'stock']) await into(host);
      await logIn();
      for (const host of ['local', 'stock']) await into(host);
      expect(signer('id_ed25519-cert.pub') !== before).toBe(phase === 'update-clients');
      expect(home('known_hosts').trim().split('\n')).toHaveLength(phase === 'standby' ? 2 : 4);
    },
    120_000,
  );

  it('restarts no process', () => expect(steno.run.processes).toEqual(processes));

  it('keeps recordings from before and during it verifiable, with the key of their time', async () => {
    for (const terminal of live) {
      terminal.write('exit\n');
      expect(await terminal.ended).toBe(0);
    }
    const rows = await eventually(
      () => viewerOf(steno).sessions({ limit: 100 }),
      (all) => all.every(({ state }) => state === 'sealed'),
    );
    expect(rows.length).toBe(1 + 2 + 3 * 4 + 2);
    for (const { id } of rows.filter(({ tty, id: each }) => tty || each === old.session))
      expect(JSON.parse(await must('verify', id, '--json'))).toMatchObject({ ok: true });
    expect(JSON.parse(await must('verify', old.file, '--json', '--ca', old.ca))).toMatchObject({ ok: true, session: old.session });
    expect((await must('ca', 'export', 'recording')).trim().split('\n')).toHaveLength(2);
  }, 120_000);

  it('audits every step', async () => {
    const rows = await eventually(
      () => viewerOf(steno).audit({ event: 'ca.rotate', limit: 100 }),
      (all) => all.length >= 20,
    );
    expect(rows.filter(({ outcome }) => outcome === 'success')).toHaveLength(20);
    expect(new Set(rows.map(({ target }) => target))).toEqual(new Set(['ssh-user', 'ssh-host', 'recording', 'x509-user', 'x509-service']));
  });

  it('shows the phase of each CA, survives a crash, and can be rolled back', async () => {
    await must('ca', 'rotate', 'ssh-host', '--phase', 'init');
    const status = await must('ca', 'status');
    expect(status).toContain('● init ─── ○ update-clients ─── ○ update-servers ─── ○ standby');
    expect(status).toContain('next: steno ca rotate ssh-host --phase update-clients');
    // The authority is killed during a rotation, and continues it where it was.
    const pid = steno.run.processes['authority']!;
    process.kill(pid, 'SIGKILL');
    await eventually(
      () => Promise.resolve(steno.run.processes['authority']),
      (now) => now !== undefined && now !== pid,
    );
    const [after] =
      (
        await eventually(
          () => steno.steno('ca', 'status', '--json'),
          ({ status: code }) => code === 0,
        )
      ).stdout.match(/"phase": "init"/g) ?? [];
    expect(after).toBeDefined();
    await into('local');
    await must('ca', 'rotate', 'ssh-host', '--phase', 'rollback');
    await must('ca', 'rotate', 'ssh-host', '--phase', 'standby');
    await into('local');
  }, 120_000);
});
