/** Memory of an idle recorded session in the gateway, and the speed of session set-up. The node is a small ssh2 server. */
import { setTimeout as sleep } from 'node:timers/promises';
import { gather, usage, within } from '../../crowd.js';
import type { Field } from '../../field.js';
import { round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

export async function idle(field: Field, wanted: number): Promise<Section> {
  const count = within(wanted, field.steno.run.processes['gateway']!);
  process.stderr.write(`${count} idle sessions\n`);
  const crowd = await gather(field, 'idle', (channel) => void channel.write('$ '));
  const pid = field.steno.run.processes['gateway']!;
  await crowd.openMany(20);
  await sleep(2_000);
  const before = usage(pid);
  const start = performance.now();
  await crowd.openMany(count);
  const seconds = (performance.now() - start) / 1000;
  const after = usage(pid);
  // Memory that was only needed for the set-up is freed meanwhile.
  await sleep(15_000);
  const settled = usage(pid);
  crowd.close();
  const cpuEach = (after.cpu - before.cpu) / count;
  return {
    title: 'Idle sessions, and setting them up',
    how: `${count} recorded shells through one gateway process to a small ssh2 server, eight being set up at a time; client, node and gateway share the cores. Memory is resident memory over that of 20 sessions, 15 s after the last.`,
    header: ['KB a session', 'set-ups a second, all on this machine', 'gateway CPU a set-up', 'set-ups a second of gateway CPU'],
    rows: [
      [
        round3((settled.memory - before.memory) / count / 1000),
        round3(count / seconds),
        `${round3(cpuEach * 1000)} ms`,
        round3(1 / cpuEach),
      ],
    ],
  };
}
