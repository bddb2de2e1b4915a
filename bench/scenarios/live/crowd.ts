/** Many observers of one session, some of whom read nothing any more: what each costs, and whether anybody else notices. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerChannel } from 'ssh2';
import { gather, usage } from '../../crowd.js';
import type { Field } from '../../field.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import { Crowd, newSession, participant } from './people.js';
import { Typist } from '../../typist.js';

const KIB = 1024;
const SETTLE_MS = 5_000;
/** What the session prints at once when some have stalled: more than waits for anybody, and than a window. */
const BURST = 4 << 20;
/** The viewer takes so many followers of live sessions at a time. */
const MAX_FOLLOWERS = 250;
const line = 'a line of output that somebody may be reading, ten times a second\r\n';

export async function liveCrowd(field: Field, many: number, stalled: number, keys: number): Promise<Section> {
  const { processes } = field.steno.run;
  const who = await participant(field, 'bench-crowd');
  let node: ServerChannel | undefined;
  const owners = await gather(field, 'watched', (channel) => {
    node = channel;
    channel.write('$ ');
  });
  const { channel } = await owners.open();
  channel.resume();
  const session = await newSession(field, new Set());
  const neighbour = new Typist(field.routes.steno);
  await neighbour.ready();
  await neighbour.type(500);
  const rows: string[][] = [];
  const run = async (how: 'ssh' | 'WebSocket', count: number, stalls: number, pid: number): Promise<void> => {
    process.stderr.write(`live_crowd: ${count} by ${how}, ${stalls} of them stalled\n`);
    const crowd = await Crowd.start();
    const join = (some: number): Promise<void> =>
      how === 'ssh' ? crowd.join(field, who, session, some) : crowd.follow(who, session, some);
    try {
      // The first ones pay for what all share.
      const first = Math.min(20, count);
      await join(first);
      await sleep(SETTLE_MS);
      const before = usage(pid).memory;
      await join(count - first);
      await sleep(SETTLE_MS);
      const reading = (usage(pid).memory - before) / (count - first);
      await crowd.stall(stalls);
      node!.write(Buffer.alloc(BURST, line));
      await sleep(SETTLE_MS * 2);
      const after = (usage(pid).memory - before) / (count - first);
      const quiet = await neighbour.type(keys, 10);
      const printing = setInterval(() => node!.write(line), 100);
      const busy = await neighbour.type(keys, 10);
      clearInterval(printing);
      rows.push([
        `${count} by ${how}, ${stalls} stalled`,
        ...[reading, after].map((bytes) => round3(Math.max(0, bytes) / KIB)),
        ...[quiet, busy].flatMap((values) => [0.5, 0.99].map((q) => round3(quantile(values, q)))),
      ]);
    } finally {
      await crowd.close();
    }
  };
  try {
    await run('ssh', many, stalled, processes['gateway']!);
    const followers = Math.min(many, MAX_FOLLOWERS);
    await run('WebSocket', followers, Math.round((followers * stalled) / many), processes['store']!);
  } finally {
    neighbour.close();
    owners.close();
  }
  return {
    title: 'Many observers of one session',
    how: `Observers of one session in one process of lower priority. Growth of the resident memory of the gateway (by ssh) and of the store's process (by WebSocket) for each, KiB: when they have joined, and ${(SETTLE_MS * 2) / 1000} s after some of them stopped reading and the session printed ${BURST >> 20} MiB at once. Key to echo of somebody in another session, µs: while the session prints nothing, and ten lines a second.`,
    header: ['', 'KiB each, joined', 'KiB each, stalled', 'key p50, quiet', 'p99', 'key p50, printing', 'p99'],
    rows,
  };
}
