/** Keystroke echo, and connecting to run `true`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as pty from 'node-pty';
import { eventually } from '../../../test/end-to-end/machine.js';
import { gather } from '../../crowd.js';
import type { Field } from '../../field.js';
import { compared, comparedHeader, contestants, interleave, quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import { Typist } from '../../typist.js';

const WARM_UP = 1500;

export async function keystrokes(field: Field, rounds: number, condition: string): Promise<Section> {
  process.stderr.write(`keystrokes, ${condition}\n`);
  const names = ['direct', 'steno', 'hop', 'jump'] as const;
  const typists = names.map((name) => new Typist(field.routes[name]));
  await Promise.all(typists.map((typist) => typist.ready()));
  const times = names.map((): number[] => []);
  // A gateway runs for weeks: its first thousand keys, before V8 has compiled everything, are not typical.
  for (const typist of typists) await typist.type(WARM_UP);
  for (let round = 0; round < rounds; round++) {
    for (const [i, typist] of typists.entries()) times[i]!.push(...(await typist.type(200)));
  }
  for (const typist of typists) typist.close();
  const [direct, steno, hop, jump] = times as [number[], number[], number[], number[]];
  const row = (name: string, values: readonly number[]): string[] => [
    name,
    ...[0.5, 0.99].map((q) => round3(quantile(values, q))),
    ...[0.5, 0.99].map((q) => (values === direct ? '' : signed(quantile(values, q) - quantile(direct, q)))),
  ];
  return {
    title: `Keystroke echo, ${condition}`,
    how: `A key typed into \`ssh -tt\`, until its echo is there, µs; ${rounds * 200} keys a contestant, in turns of 200, after ${WARM_UP} to warm up.`,
    header: ['', 'p50', 'p99', 'added p50', 'added p99'],
    rows: [
      row('`ssh` direct', direct),
      row('Steno, `ssh node.steno`', steno),
      row('Steno, `ssh -J gateway node`', hop),
      row('`ssh -J`, OpenSSH', jump),
    ],
  };
}

const signed = (value: number): string => `${value < 0 ? '−' : '+'}${round3(Math.abs(value))}`;

const ROWS_WORD = 'filler';

/** While `others` sessions print a line per second each, and a user searches `rows` rows repeatedly. */
export async function busyKeystrokes(field: Field, rounds: number, others: number, rows: number): Promise<Section> {
  const { steno, routes } = field;
  process.stderr.write(`printing ${rows} rows to search in\n`);
  const printer = spawn('ssh', ['-tt', ...routes.steno, `seq -f '${ROWS_WORD} row %.0f of many, as wide as lines are' ${rows}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await once(printer, 'close');
  await eventually(
    () => steno.json<unknown[]>('search', `${ROWS_WORD} row ${rows} of many`),
    (hits) => hits.length > 0,
    600_000,
  );
  const crowd = await gather(field, 'crowd', (channel) => {
    channel.write('$ ');
    const timer = setInterval(() => void channel.write('a line of output that somebody may be reading, once a second\r\n'), 1_000);
    channel.on('close', () => clearInterval(timer));
  });
  await crowd.openMany(others);
  for (const { channel } of crowd.members) channel.resume();
  let searching = true;
  const searches = (async () => {
    let count = 0;
    for (; searching; count++) await steno.json('search', `${ROWS_WORD} row ${1 + ((count * 7919) % rows)}`);
    return count;
  })();
  try {
    const section = await keystrokes(field, rounds, `${others} other sessions print, ${rows} rows are searched`);
    searching = false;
    return { ...section, how: `${section.how} ${await searches} searches ran meanwhile.` };
  } finally {
    searching = false;
    crowd.close();
  }
}

export async function connecting(field: Field, rounds: number): Promise<Section> {
  process.stderr.write('connect and run true\n');
  const run = (args: readonly string[]) => async (): Promise<number> => {
    const start = performance.now();
    const child = spawn('ssh', ['-T', ...args, 'true'], { stdio: ['ignore', 'ignore', 'inherit'] });
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0) throw new Error(`ssh ended with ${code}`);
    return performance.now() - start;
  };
  const figures = await interleave(
    contestants.map((name) => ({ name, run: run(field.routes[name]) })),
    rounds,
  );
  return {
    title: 'Connect and run `true`',
    how: `A new connection each time, ms, median (least–most) of ${rounds} rounds.`,
    header: comparedHeader,
    rows: [compared(figures)],
  };
}

export async function searchable(field: Field, count: number): Promise<Section> {
  process.stderr.write('printed to searchable\n');
  const { steno, routes } = field;
  const delays: number[] = [];
  const shell = pty.spawn('ssh', ['-tt', ...routes.steno], { cols: 80, rows: 24 });
  let text = '';
  let look: () => void = () => undefined;
  shell.onData((data) => {
    text = (text + data).slice(-4096);
    look();
  });
  const until = (wanted: string): Promise<void> =>
    new Promise((resolve) => {
      look = () => {
        if (text.includes(wanted)) resolve();
      };
      look();
    });
  for (let i = 0; i < count; i++) {
    const word = `w${process.pid}x${i}y`;
    shell.write(`echo ${word.slice(0, 3)}''${word.slice(3)}\r`);
    // The command contains two quotes, so that only its output matches.
    await until(word);
    const printed = performance.now();
    for (;;) {
      const { stdout } = await steno.steno('search', word, '--json');
      if ((JSON.parse(stdout) as unknown[]).length > 0) break;
    }
    delays.push(performance.now() - printed);
  }
  shell.kill();
  return {
    title: 'Printed to searchable',
    how: `A word is printed in a live session; \`steno search\` is run again and again until it finds it, its own run time included; ${count} words, ms.`,
    header: ['p50', 'p99', 'most'],
    rows: [[quantile(delays, 0.5), quantile(delays, 0.99), Math.max(...delays)].map(round3)],
  };
}
