/** Clients that stop reading while their node prints as fast as it can: the memory that the gateway holds for them. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerChannel } from 'ssh2';
import { gather, usage } from '../../crowd.js';
import type { Field } from '../../field.js';
import { round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const MIB = 1 << 20;
const SETTLE_MS = 8_000;
const chunk = Buffer.from('endless output of a terminal that nobody reads\r\n'.repeat(680));

function endless(channel: ServerChannel): void {
  const more = (): void => {
    while (!channel.destroyed && channel.write(chunk)) continue;
  };
  channel.on('drain', more);
  more();
}

export async function stalled(field: Field, count: number): Promise<Section> {
  process.stderr.write(`${count} stalled clients\n`);
  const crowd = await gather(field, 'stalled', endless);
  const pid = field.steno.run.processes['gateway']!;
  const stall = async (): Promise<void> => {
    const { client } = await crowd.open();
    (client as unknown as { readonly _sock: Socket })._sock.pause();
  };
  // The first ones allocate shared memory.
  for (let i = 0; i < 3; i++) await stall();
  await sleep(SETTLE_MS);
  const before = usage(pid).memory;
  await stall();
  await sleep(SETTLE_MS);
  const one = usage(pid).memory - before;
  for (let i = 1; i < count; i++) await stall();
  await sleep(SETTLE_MS);
  const all = usage(pid).memory - before;
  crowd.close();
  return {
    title: 'Clients that stop reading',
    how: `Terminals whose node prints without end and whose client reads nothing any more. Growth of the gateway's resident memory, MiB, ${SETTLE_MS / 1000} s after the last; what the kernel holds for sockets is not in it.`,
    header: ['one', String(count), 'each of these'],
    rows: [[one, all, all / count].map((bytes) => round3(Math.max(0, bytes) / MIB))],
  };
}
