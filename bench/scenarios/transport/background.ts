/** Keystrokes alone, and during background work: indexing much output, then sealing it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { QueueReport } from '#schemas/api/recordings/status.js';
import type { Field } from '../../field.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import { Typist } from '../../typist.js';

const WARM_UP = 1500;
const KEYS = 200;

export async function background(field: Field, rounds: number, megabytes: number): Promise<Section> {
  const { steno, routes } = field;
  process.stderr.write(`keystrokes beside indexing and sealing ${megabytes} MB\n`);
  const names = ['direct', 'steno'] as const;
  const typists = names.map((name) => new Typist(routes[name]));
  await Promise.all(typists.map((typist) => typist.ready()));
  for (const typist of typists) await typist.type(WARM_UP);
  const waiting = async (): Promise<string[]> =>
    (await steno.json<{ readonly queues: readonly QueueReport[] }>('status')).queues
      .filter((queue) => queue.waiting > 0)
      .map(({ name }) => name);
  const seen = new Set<string>();
  let beside = 0;
  const measure = async (busy: boolean): Promise<number[][]> => {
    const times = names.map((): number[] => []);
    for (let round = 0; round < rounds; round++) {
      if (busy) {
        const now = await waiting();
        for (const name of now) seen.add(name);
        if (now.length === 0) break;
        beside += 1;
      }
      for (const [i, typist] of typists.entries()) times[i]!.push(...(await typist.type(KEYS)));
    }
    return times;
  };
  const alone = await measure(false);
  const printer = spawn('ssh', ['-tt', ...routes.steno, `head -c ${Math.round(megabytes * 740_000)} /dev/urandom | base64 -w 100`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await once(printer, 'close');
  const busy = await measure(true);
  for (const typist of typists) typist.close();
  const cells = (name: string, values: readonly number[] | undefined): string[] => [
    name,
    ...[0.5, 0.99].map((q) => (values === undefined || values.length === 0 ? '–' : round3(quantile(values, q)))),
  ];
  return {
    title: 'Keystroke echo beside background work',
    how:
      `A session printed ${megabytes} MB; when it had ended, and while its output was still being indexed or sealed (${[...seen].join(', ') || 'nothing was left'}), ` +
      `keys were typed as above, µs; ${rounds * KEYS} keys alone and ${beside * KEYS} beside, in turns of ${KEYS}.`,
    header: ['', 'p50', 'p99'],
    rows: [
      cells('`ssh` direct, alone', alone[0]),
      cells('Steno, alone', alone[1]),
      cells('`ssh` direct, beside', busy[0]),
      cells('Steno, beside', busy[1]),
    ],
  };
}
