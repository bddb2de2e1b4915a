/** Ingest stops while sessions continue: the cost, the time to catch up, and a check that nothing is missing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../../test/end-to-end/machine.js';
import type { SessionRow } from '../../../test/end-to-end/machine.js';
import { gather, usage } from '../../crowd.js';
import type { Field } from '../../field.js';
import { round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const MIB = 1 << 20;
const PRINTERS = 20;
const line = `${'a line of output, as a build prints them'.padEnd(78, '.')}\r\n`;

export async function outage(field: Field, minutes: number): Promise<Section> {
  process.stderr.write(`ingest stands still for ${minutes} minutes\n`);
  const { steno, routes } = field;
  const timers = new Set<NodeJS.Timeout>();
  const crowd = await gather(field, 'outage', (channel) => {
    let lines = 0;
    const timer = setInterval(() => void channel.write(`${String(++lines).padStart(8)} ${line}`.repeat(10)), 500);
    timers.add(timer);
    channel.on('close', () => clearInterval(timer));
  });
  await crowd.openMany(PRINTERS);
  for (const { channel } of crowd.members) channel.resume();
  const gateway = steno.run.processes['gateway']!;
  const store = steno.run.processes['store']!;
  const spool = join(steno.data, 'gateway', 'spool');
  const spooled = (): number =>
    readdirSync(spool)
      .filter((name) => name.endsWith('.cast'))
      .reduce((sum, name) => sum + statSync(join(spool, name)).size, 0);
  const before = usage(gateway).memory;
  process.kill(store, 'SIGSTOP');
  let commands = 0;
  try {
    for (const until = performance.now() + minutes * 60_000; performance.now() < until; commands++) {
      const child = spawn('ssh', ['-T', ...routes.steno, `echo command ${commands}`], { stdio: 'ignore' });
      const [code] = (await once(child, 'close')) as [number];
      if (code !== 0) throw new Error(`a session during the outage ended with ${code}`);
      await sleep(2_000);
    }
  } finally {
    process.kill(store, 'SIGCONT');
  }
  const grown = usage(gateway).memory - before;
  const held = spooled();
  const start = performance.now();
  crowd.close();
  const wanted = commands + PRINTERS;
  const rows = await eventually(
    () => steno.json<SessionRow[]>('sessions', '--limit', '1000'),
    (list) =>
      list.filter(({ state }) => state === 'ended' || state === 'sealed').length >= wanted &&
      readdirSync(spool).every((name) => !name.endsWith('.cast')),
    300_000,
  );
  const seconds = (performance.now() - start) / 1000;
  let whole = 0;
  for (const { id } of rows) if ((await steno.steno('verify', id)).status === 0) whole++;
  return {
    title: 'Ingest stands still',
    how: `For ${minutes} minutes the process of ingest is stopped (SIGSTOP). Meanwhile ${PRINTERS} terminals print and a command runs every 2 s. Afterwards all recordings are verified.`,
    header: [
      'commands run meanwhile',
      'MiB in the spool at the end',
      'gateway memory grew by, MiB',
      'everything stored after, s',
      'recordings',
      'of these whole',
    ],
    rows: [[String(commands), round3(held / MIB), round3(Math.max(0, grown) / MIB), round3(seconds), String(rows.length), String(whole)]],
  };
}
