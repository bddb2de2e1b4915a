/** Many observers of one session, some of whom read nothing any more: what each costs, and whether anybody else notices. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerChannel } from 'ssh2';
import { gather } from '../../crowd.js';
import { openField } from '../../field.js';
import type { Field } from '../../field.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import { memoryOf, probed } from '../../memory-probe.js';
import type { LiveMemory } from '../../memory-probe.js';
import { Crowd, newSession, participant } from './people.js';
import { Typist } from '../../typist.js';

const KIB = 1024;
const SETTLE_MS = 5_000;
/** What the session prints at once when some have stalled: more than waits for anybody, and than a window. */
const BURST = 4 << 20;
/** Participants in one process: more would keep it too busy to be one of many. */
const A_CROWD = 250;
const line = 'a line of output that somebody may be reading, ten times a second\r\n';

export async function liveCrowd(many: number, stalled: number, keys: number): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'steno-memory-'));
  const field = await openField({ env: probed(folder) });
  try {
    return await measured(field, folder, { many, stalled, keys });
  } finally {
    await field.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Sizes {
  readonly many: number;
  readonly stalled: number;
  readonly keys: number;
}

async function measured(field: Field, folder: string, { many, stalled, keys }: Sizes): Promise<Section> {
  const { processes } = field.steno.run;
  const who = await participant(field, 'bench-crowd');
  let node: ServerChannel | undefined;
  const nodes = await gather(field, 'watched', (channel) => {
    node = channel;
    channel.write('ready\r\n');
    channel.on('data', (bytes: Buffer) => channel.write(bytes));
  });
  const owner = new Typist([...field.routes.steno.slice(0, -1), 'watched.steno'], null);
  await owner.ready();
  const session = await newSession(field, new Set());
  const neighbour = new Typist(field.routes.steno);
  await neighbour.ready();
  await neighbour.type(500);
  const memory: string[][] = [];
  const delays: string[][] = [];
  const typed = async (when: string): Promise<void> => {
    for (const [name, typist] of Object.entries({ owner, neighbour })) {
      const values = await typist.type(keys, 10);
      delays.push([`${name}, ${when}`, ...[0.5, 0.99].map((q) => round3(quantile(values, q)))]);
    }
  };
  const run = async (how: 'ssh' | 'WebSocket', pid: number): Promise<void> => {
    process.stderr.write(`live_crowd: ${many} by ${how}, ${stalled} of them stalled\n`);
    const crowds: Crowd[] = [];
    const join = async (crowd: Crowd, some: number): Promise<void> =>
      how === 'ssh' ? crowd.join(field, who, session, some) : crowd.follow(who, session, some);
    const settled = async (): Promise<LiveMemory> => {
      await sleep(SETTLE_MS);
      return memoryOf(folder, pid);
    };
    try {
      // The first ones pay for what all share.
      const first = Math.min(20, many >> 1);
      crowds.push(await Crowd.start());
      await join(crowds[0]!, first);
      const before = await settled();
      for (let left = many - first; left > 0; left -= A_CROWD) {
        crowds.push(await Crowd.start());
        await join(crowds.at(-1)!, Math.min(A_CROWD, left));
      }
      const joined = await settled();
      for (const crowd of crowds.slice(1)) await crowd.stall(Math.ceil(stalled / (crowds.length - 1)));
      node!.write(Buffer.alloc(BURST, line));
      await sleep(SETTLE_MS);
      const printed = await settled();
      const each = (now: LiveMemory, what: keyof LiveMemory): string => round3((now[what] - before[what]) / (many - first) / KIB);
      for (const [when, now] of Object.entries({ joined, [`${stalled} stalled`]: printed }))
        memory.push([`${many} by ${how}, ${when}`, each(now, 'live'), each(now, 'resident')]);
      await typed(`${many} by ${how}`);
      const printing = setInterval(() => node!.write(line), 100);
      await typed(`${many} by ${how}, session prints`);
      clearInterval(printing);
    } finally {
      for (const crowd of crowds) await crowd.close();
    }
  };
  try {
    await typed('nobody watches');
    await run('ssh', processes['gateway']!);
    await run('WebSocket', processes['store']!);
  } finally {
    neighbour.close();
    owner.close();
    nodes.close();
  }
  return {
    title: 'Many observers of one session',
    how: `Observers of one session in processes of lower priority. Growth of the memory of the gateway (by ssh) and of the store's process (by WebSocket) for each after the first 20, KiB, each after a full collection of garbage: when they have joined, and ${(SETTLE_MS * 2) / 1000} s after some of them stopped reading and the session printed ${BURST >> 20} MiB at once; objects and buffers in use, and resident memory. Below, key to echo of the session's own user and of somebody in another session, µs, while the session prints nothing else, and ten lines a second.`,
    header: ['', 'in use', 'resident'],
    rows: [...memory, ['**key to echo, µs**', '**p50**', '**p99**'], ...delays],
  };
}
