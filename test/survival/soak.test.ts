/**
 * Soak test of the kill matrix: in each round, a random set of processes is killed at a random moment while users print,
 * upload and download. Afterwards everything that a client received is in the recording, once and in order, uploads that
 * were reported as done are exact, the gateway's session numbers have no gap, and no process leaks descriptors. A round
 * takes a quarter of a minute, so the test runs only on request:
 *
 *     STENO_TEST_SOAK=20 [STENO_TEST_SOAK_SEED=7] npx vitest run test/survival/soak.test.ts
 *
 * Kills come at a random time; killed.test.ts kills at known moments. The message of a failed round contains its seed, and
 * the same seed gives the same kills.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionInfo, SessionList } from '#schemas/api/recordings/sessions.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { openClient } from '../../cli/client/client.js';
import { openHome } from '../../cli/client/home.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import type { Result } from '../end-to-end/machine.js';
import { Scene, api, audit } from './scene.js';
import { freePort } from '#runtime/http/free-port.js';

const rounds = Number(process.env['STENO_TEST_SOAK'] ?? 0);
const seed = Number(process.env['STENO_TEST_SOAK_SEED'] ?? Date.now() % 1_000_000);
/** Limit of descriptors per process while only the test is connected. Processes start with 30 to 110. */
const DESCRIPTORS: Readonly<Record<string, number>> = { authority: 80, gateway: 90, agent: 110, store: 220 };
/** Far more than an idle machine needs: this one also runs the clients, and perhaps other tests. */
const NEXT_SSH_MS = 30_000;

const children = ['gateway', 'authority', 'store', 'agent'] as const;
type Victims = readonly (typeof children)[number][] | 'everything';

/** mulberry32: small, and the same on every machine. */
function generator(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const steno = new Steno();
const listen: string[] = [];
const scenes: Scene[] = [];
const waits: { readonly victims: string; readonly ms: number }[] = [];

/** The same ports at every start, so that the client's configuration stays valid. */
async function start(): Promise<void> {
  await steno.start(...listen);
}

const digest = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** Kills; resolves with the time until a user could connect again and run a command. */
async function kill(victims: Victims): Promise<number> {
  const before = steno.run.processes;
  const killed = victims === 'everything' ? Object.values(before) : victims.map((name) => before[name]!);
  const begun = performance.now();
  if (victims === 'everything') process.kill(steno.pid, 'SIGKILL');
  for (const pid of killed) process.kill(pid, 'SIGKILL');
  let started: Promise<void> = Promise.resolve();
  if (victims === 'everything') {
    await steno.stop();
    started = start();
  }
  for (;;) {
    const { status, stdout } = await steno.ssh('-o', 'ConnectTimeout=5', `${steno.login}@local.steno`, 'echo back');
    if (status === 0 && stdout === 'back\n') break;
    if (performance.now() - begun > NEXT_SSH_MS) throw new Error(`nobody can connect:\n${steno.logs()}`);
    await sleep(20);
  }
  const waited = performance.now() - begun;
  await started;
  await eventually(
    async () => steno.run.processes,
    (now) => children.every((name) => now[name] !== undefined && !killed.includes(now[name]) && existsSync(`/proc/${now[name]}`)),
    60_000,
  );
  return waited;
}

function descriptors(): Record<string, number> {
  return Object.fromEntries(Object.entries(steno.run.processes).map(([name, pid]) => [name, readdirSync(`/proc/${pid}/fd`).length]));
}

async function allSessions(): Promise<SessionInfo[]> {
  const all: SessionInfo[] = [];
  for (let before: string | null = ''; before !== null;) {
    const page: SessionList = await api(steno, `/api/sessions?limit=100${before === '' ? '' : `&before=${encodeURIComponent(before)}`}`);
    all.push(...page.sessions);
    before = page.next;
  }
  return all;
}

describe.skipIf(rounds === 0)(`kills at random, seed ${seed}`, () => {
  const random = generator(seed);
  beforeAll(async () => {
    listen.push(
      '--ssh-listen',
      `127.0.0.1:${await freePort()}`,
      '--web-listen',
      `127.0.0.1:${await freePort()}`,
      '--tunnel-listen',
      `127.0.0.1:${await freePort()}`,
    );
    await start();
    await steno.json('login', '--data', steno.data);
  }, 120_000);
  afterAll(() => steno.dispose());

  it.each(Array.from({ length: rounds }, (_, i) => i + 1))(
    'round %i',
    async (round) => {
      const printing = [new Scene(steno)];
      await printing[0]!.opened();
      printing.push(new Scene(steno));
      await printing[1]!.opened();
      scenes.push(...printing);
      for (const scene of printing) scene.print(random() < 0.5 ? 0 : 300_000);
      const up = join(steno.folder, `up-${round}`);
      writeFileSync(up, randomBytes(1 + Math.floor(random() * 4_000_000)));
      writeFileSync(`${up}.batch`, `put ${up} ${up}.there\n`);
      const transfers: Promise<Result>[] = [
        steno.exec('sftp', ['-F', steno.config, '-b', `${up}.batch`, `${steno.login}@local.steno`]),
        steno.exec('scp', ['-F', steno.config, `${steno.login}@local.steno:${up}`, `${up}.back`]),
      ];
      await Promise.all(printing.map((scene) => scene.printed(10)));
      await sleep(random() * 1_500);
      const chosen = children.filter(() => random() < 0.35);
      const victims: Victims = random() < 0.25 ? 'everything' : chosen.length > 0 ? chosen : ['store'];
      const ms = await kill(victims);
      waits.push({ victims: victims === 'everything' ? victims : victims.join('+'), ms });
      const [put, got] = await Promise.all(transfers);
      if (put!.status === 0) expect(digest(`${up}.there`), 'the upload').toBe(digest(up));
      if (got!.status === 0) expect(digest(`${up}.back`), 'the download').toBe(digest(up));
      await Promise.all(printing.map((scene) => scene.leave()));
      for (const scene of printing) await scene.check();
      const held = descriptors();
      for (const [name, most] of Object.entries(DESCRIPTORS))
        expect(held[name], `descriptors of ${name} after killing ${String(victims)}: ${JSON.stringify(held)}`).toBeLessThanOrEqual(most);
    },
    240_000,
  );

  it('every recording is sealed and verifies, and the gateway’s session numbers have no gap', async () => {
    const sessions = await eventually(
      allSessions,
      (all) => all.every(({ state }) => state === 'sealed' || state === 'interrupted'),
      120_000,
    );
    const client = openClient(openHome(steno.env));
    const verify = await openVerifier(client.profile.recording_ca);
    const numbers = new Set<number>();
    for (const { id } of sessions) {
      const verdict = verify(await buffer(await client.stream(`/api/sessions/${id}/export?format=cast.zst`)));
      expect(verdict.ok, id).toBe(true);
      if (!verdict.ok) continue;
      expect(numbers.has(verdict.checkpoint.counter), `number ${verdict.checkpoint.counter} twice`).toBe(false);
      numbers.add(verdict.checkpoint.counter);
    }
    // If the gateway died before any output, the audit log has the number.
    for (const { data } of [...(await audit(steno, 'recording.empty')), ...(await audit(steno, 'recording.impossible'))]) {
      const { counter } = JSON.parse(data) as { counter: number | null };
      if (counter !== null) numbers.add(counter);
    }
    expect(Array.from({ length: Math.max(...numbers) }, (_, i) => i + 1).filter((number) => !numbers.has(number))).toEqual([]);
    for (const victims of [...new Set(waits.map((wait) => wait.victims))].sort()) {
      const sorted = waits
        .filter((wait) => wait.victims === victims)
        .map(({ ms }) => ms)
        .sort((a, b) => a - b);
      process.stdout.write(
        `killed ${victims}: next ssh after ${Math.round(sorted[sorted.length >> 1]!)} ms (median of ${sorted.length})\n`,
      );
    }
    process.stdout.write(`descriptors at the end: ${JSON.stringify(descriptors())}\n`);
  }, 600_000);
});
