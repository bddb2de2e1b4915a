/**
 * `kill -9` of any process at any moment: everything that a terminal showed is recorded, signed and searchable, once.
 *
 * Each break point is tested twice: "failed" kills before the step is done, "but done" kills after it is done and before
 * anybody is told. Closing, storing and sealing continue while the test watches, so a kill may also come slightly late.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FoundHit } from '#schemas/api/recordings/find.js';
import type { SessionList } from '#schemas/api/recordings/sessions.js';
import { partKey, recordingPrefix } from '#schemas/recording/layout.js';
import { sessionTime } from '#schemas/recording/line.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { openClient } from '../../cli/client/client.js';
import { openHome } from '../../cli/client/home.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { A_PART, Scene, api, seen } from './scene.js';

type Child = 'gateway' | 'store' | 'authority' | 'agent';
/** `supervisor`: `steno up` alone, whose children notice. `everything`: all five at once, as when the kernel kills them. */
type Victim = Child | 'supervisor' | 'everything';

/** Brings a scene to the moment of the kill. */
const moments = {
  'a recording begins: its header is written': (scene) => scene.recorded(),
  'a recording begins: the shell has its prompt': (scene) => scene.opened(),
  'lines are printed: shown, not yet all sent': (scene) => printing(scene),
  'lines are printed: all in the index, nothing acknowledged': async (scene) => {
    await printing(scene);
    await scene.stopPrinting();
    await eventually(
      () => scene.found(),
      (found) => found.size >= 40,
    );
  },
  'a part closes: signed, not yet stored': async (scene) => {
    await scene.opened();
    scene.print(A_PART);
    await seen(() => scene.journal.includes('"part":1'));
  },
  'a part closes: its object is there, not yet acknowledged': async (scene) => {
    await scene.opened();
    scene.print(A_PART);
    await seen(() => scene.hasObject('part-000001.cast.zst'));
  },
  'a session closes: its exit is written': async (scene) => {
    await leaving(scene);
    await seen(() => scene.forgotten || /,"x",/.test(scene.lines));
  },
  'a session closes: its end is signed': async (scene) => {
    await leaving(scene);
    await seen(() => scene.forgotten || scene.journal.includes('"end":"complete"'));
  },
  'a session is sealed: everything acknowledged, no object yet': async (scene) => {
    await leaving(scene, A_PART);
    await seen(() => scene.forgotten);
  },
  'a session is sealed: the object is there, parts not deleted': async (scene) => {
    await leaving(scene, A_PART);
    await seen(() => scene.hasObject('recording.cast.zst'));
  },
} satisfies Record<string, (scene: Scene) => Promise<void>>;

async function printing(scene: Scene): Promise<void> {
  await scene.opened();
  scene.print();
  await scene.printed(40);
}

async function leaving(scene: Scene, filler = 0): Promise<void> {
  await scene.opened();
  scene.print(filler);
  await scene.printed(40);
  await scene.stopPrinting();
  scene.terminal.write('exit\r');
}

type Moment = keyof typeof moments;

/** The expected fate of the session, and the end that its last checkpoint may state. */
interface Outcome {
  readonly session: 'goes on' | 'ends' | 'either';
  readonly end: readonly ('complete' | 'interrupted')[];
}
const goesOn: Outcome = { session: 'goes on', end: ['complete'] };
const ends: Outcome = { session: 'ends', end: ['complete'] };
const interrupted: Outcome = { session: 'ends', end: ['interrupted'] };
const over: Outcome = { session: 'ends', end: ['complete', 'interrupted'] };

const table: readonly { readonly victim: Victim; readonly at: readonly [Moment, Outcome][] }[] = [
  {
    victim: 'gateway',
    at: [
      ['a recording begins: its header is written', interrupted],
      ['a recording begins: the shell has its prompt', interrupted],
      ['lines are printed: shown, not yet all sent', interrupted],
      ['lines are printed: all in the index, nothing acknowledged', interrupted],
      ['a part closes: signed, not yet stored', interrupted],
      ['a part closes: its object is there, not yet acknowledged', interrupted],
      ['a session closes: its exit is written', over],
      ['a session closes: its end is signed', over],
    ],
  },
  {
    victim: 'store',
    at: [
      ['a recording begins: its header is written', goesOn],
      ['lines are printed: shown, not yet all sent', goesOn],
      ['lines are printed: all in the index, nothing acknowledged', goesOn],
      ['a part closes: signed, not yet stored', goesOn],
      ['a part closes: its object is there, not yet acknowledged', goesOn],
      ['a session closes: its exit is written', ends],
      ['a session closes: its end is signed', ends],
      ['a session is sealed: everything acknowledged, no object yet', ends],
      ['a session is sealed: the object is there, parts not deleted', ends],
    ],
  },
  {
    victim: 'authority',
    at: [
      ['a recording begins: its header is written', { session: 'either', end: ['complete'] }],
      ['lines are printed: shown, not yet all sent', goesOn],
    ],
  },
  {
    victim: 'agent',
    at: [
      ['a recording begins: its header is written', ends],
      ['lines are printed: shown, not yet all sent', ends],
    ],
  },
  {
    victim: 'supervisor',
    at: [
      ['lines are printed: shown, not yet all sent', ends],
      ['a part closes: its object is there, not yet acknowledged', ends],
    ],
  },
  {
    victim: 'everything',
    at: [
      ['lines are printed: shown, not yet all sent', interrupted],
      ['a part closes: its object is there, not yet acknowledged', interrupted],
      ['a session is sealed: the object is there, parts not deleted', ends],
    ],
  },
];

const steno = new Steno();
const scenes: Scene[] = [];
/** Sessions after those of the scenes, in the order of their numbers. */
const numbered: string[] = [];

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
});
afterAll(() => steno.dispose());

/** Kills the victim. Returns a function that brings everything back. */
function kill(victim: Victim): () => Promise<void> {
  const { processes } = steno.run;
  if (victim === 'supervisor' || victim === 'everything') {
    const pids = victim === 'everything' ? [steno.pid, ...Object.values(processes)] : [steno.pid];
    // Stop all of them first: between two kills the gateway would notice and end its sessions in order.
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    return async () => {
      await steno.stop();
      await steno.start();
      await steno.json('login', '--data', steno.data);
    };
  }
  const pid = processes[victim]!;
  process.kill(pid, 'SIGKILL');
  return async () => {
    await eventually(
      async () => steno.run.processes[victim],
      (now) => now !== undefined && now !== pid,
    );
  };
}

describe.each(table)('kill -9 of $victim', ({ victim, at }) => {
  it.each(at)('while %s', async (moment, { session, end }) => {
    const scene = new Scene(steno);
    scenes.push(scene);
    await moments[moment](scene);
    const restored = kill(victim);
    if (session === 'goes on' && !moment.startsWith('a recording begins')) {
      if (!moment.includes('nothing acknowledged')) await scene.printedMore();
      await restored();
      await scene.leave();
    } else if (session === 'ends') {
      await scene.terminal.ended;
      await restored();
    } else {
      await Promise.race([scene.terminal.until(/[$#] $/).catch(() => undefined), scene.terminal.ended]);
      await restored();
      await scene.leave();
    }
    expect(end).toContain(await scene.check());
    // A recording that ingest completed for a dead gateway is listed as interrupted before it is sealed.
    await expect.poll(() => [...scene.objects].sort()).toEqual(['recording.cast.zst']);
  });
});

describe('kill -9 of store while the last part of an upload is stored, which ends at the same block as the part before', () => {
  it.each([1, 2, 3])('put %i: closed, sealed, and the spool is free', async (time) => {
    const file = join(steno.folder, `upload-${time}`);
    writeFileSync(file, randomBytes(400_000));
    writeFileSync(`${file}.batch`, `put ${file} ${file}.there\n`);
    const spooled = (): string[] =>
      readdirSync(join(steno.data, 'gateway', 'spool')).flatMap((name) => /^([0-9a-z]{26})\.cast$/.exec(name)?.[1] ?? []);
    const before = new Set(spooled());
    const put = steno.exec('sftp', ['-F', steno.config, '-b', `${file}.batch`, `${steno.login}@local.steno`]);
    let session = '';
    await seen(() => (session = spooled().find((one) => !before.has(one)) ?? '') !== '');
    const second = join(steno.data, 'store', 'objects', partKey(recordingPrefix(session, sessionTime(session)), 2));
    await seen(() => existsSync(second) || !spooled().includes(session));
    const restored = kill('store');
    await put;
    expect(readFileSync(`${file}.there`).equals(readFileSync(file))).toBe(true);
    await restored();
    await eventually(
      async () => spooled(),
      (left) => !left.includes(session),
      20_000,
    );
    const list = await eventually(
      () => api<SessionList>(steno, '/api/sessions?limit=20'),
      ({ sessions }) => sessions.find(({ id }) => id === session)?.state === 'sealed',
      20_000,
    );
    expect(list.sessions.find(({ id }) => id === session)).toMatchObject({ state: 'sealed', kind: 'sftp' });
    numbered.push(session);
  });
});

describe('after all of this', () => {
  it('every recording still verifies, and the gateway’s session numbers have no gap', async () => {
    const client = openClient(openHome(steno.env));
    const verify = await openVerifier(client.profile.recording_ca);
    const counters: number[] = [];
    const sessions = [...scenes.map(({ session }) => session), ...numbered];
    for (const session of sessions) {
      const verdict = verify(await buffer(await client.stream(`/api/sessions/${session}/export?format=cast.zst`)));
      expect(verdict.ok).toBe(true);
      if (verdict.ok) counters.push(verdict.checkpoint.counter);
    }
    expect(counters).toEqual(sessions.map((_session, index) => index + 1));
  });

  it('the commands say the same of the last scene', async () => {
    const { session, tag } = scenes.at(-1)!;
    expect(await steno.json('verify', join(steno.folder, `${tag}.cast.zst`))).toMatchObject({ ok: true, session });
    const hits = await steno.json<readonly FoundHit[]>('search', `"${tag}n000001" kind:screen`);
    expect(hits.map((hit) => hit.session)).toEqual([session]);
  });

  it('doctor finds nothing wrong', async () => {
    const checks = await steno.json<{ name: string; state: string }[]>('doctor', '--data', steno.data);
    expect(checks.filter(({ state }) => state !== 'ok')).toEqual([]);
  });
});
