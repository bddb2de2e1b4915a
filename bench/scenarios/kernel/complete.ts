/**
 * Completeness of events: storms of programs and an hour of a quiet loop, through a whole Steno, compared with the programs'
 * own logs. A missing event fails the benchmark.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Field } from '../../field.js';
import type { Section } from '../../measure.js';
import { buildLoad } from './load.js';
import { argvOf, eventsOf, gapsOf, run } from './session.js';

function say(what: string, missing: readonly string[]): void {
  if (missing.length > 0) process.stderr.write(`  missing of ${what}: ${missing.length}: ${missing.slice(0, 10).join(', ')}\n`);
}

/** `execs` programs as fast as they start, then `files` files read by a program each. */
export async function kernelStorm(field: Field, execs: number, files: number): Promise<Section> {
  process.stderr.write('kernel events: storms\n');
  const { steno } = field;
  const folder = join(steno.folder, 'storm');
  mkdirSync(folder);
  try {
    const load = buildLoad(folder);
    const rows: string[][] = [];
    let missing = 0;

    const first = await run(steno, `${load} storm ${execs}`);
    const started = new Set(first.stdout.trim().split('\n'));
    if (started.size !== execs) throw new Error(`only ${started.size} programs were started`);
    const twice: string[] = [];
    let gaps = 0;
    const late = await eventsOf(steno, first.session, (event) => {
      if (event.kind === 'gap') gaps += event.count ?? 0;
      const [program, mark = ''] = argvOf(event);
      if (event.kind === 'exec' && program === '/bin/true' && !started.delete(mark)) twice.push(mark);
    });
    gaps += await gapsOf(steno, first.session);
    say('programs', [...started]);
    say('programs, seen once more', twice);
    missing += started.size + twice.length;
    rows.push(['fork and exec', String(execs), String(started.size), String(gaps), (execs / first.seconds).toFixed(0), late.toFixed(1)]);
    process.stderr.write(`  ${rows.at(-1)!.join(', ')}\n`);

    const witness = join(folder, 'files');
    const second = await run(
      steno,
      `find / -xdev -type f -not -path '${steno.folder}/*' 2>/dev/null | head -n ${files} > ${witness}; xargs -d '\\n' -n1 cat < ${witness} >/dev/null 2>&1; true`,
    );
    const listed = readFileSync(witness, 'utf8').trim().split('\n');
    const ran = new Set(listed);
    const read = new Set(listed);
    gaps = 0;
    const later = await eventsOf(steno, second.session, (event) => {
      if (event.kind === 'gap') gaps += event.count ?? 0;
      const [program, file = ''] = argvOf(event);
      if (event.kind === 'exec' && program === 'cat') ran.delete(file);
      if (event.kind === 'file' && event.name === 'open') read.delete(event.path);
    });
    gaps += await gapsOf(steno, second.session);
    say('cat', [...ran]);
    say('files read', [...read]);
    missing += ran.size + read.size;
    rows.push([
      '`find`, then `xargs -n1 cat`: programs',
      String(listed.length),
      String(ran.size),
      String(gaps),
      (listed.length / second.seconds).toFixed(0),
      later.toFixed(1),
    ]);
    rows.push([
      '`find`, then `xargs -n1 cat`: files opened',
      String(listed.length),
      String(read.size),
      String(gaps),
      (listed.length / second.seconds).toFixed(0),
      later.toFixed(1),
    ]);
    if (missing > 0) process.exitCode = 1;
    return {
      title: 'Kernel events: storms',
      how: "In a session through a whole Steno on this machine; each single program and file is looked for among the session's events. The witness is what the loop printed, and the list that `find` wrote. `npm run bench -- kernel_storm`.",
      header: ['storm', 'happened', 'missing', 'events in gaps', 'a second', 's until all could be queried, after the end'],
      rows,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `while sleep .5; do ls; done` for `minutes`. */
export async function kernelHour(field: Field, minutes: number): Promise<Section> {
  process.stderr.write(`kernel events: a loop for ${minutes} minutes\n`);
  const { steno } = field;
  const seconds = Math.max(1, Math.round(60 * minutes));
  const { session, stdout } = await run(
    steno,
    `bash -c 'n=0; while sleep .5; do ls >/dev/null; n=$((n+1)); [ $SECONDS -ge ${seconds} ] && break; done; echo $n'`,
  );
  const turns = Number(stdout.trim());
  const seen = { ls: 0, sleep: 0 };
  let gaps = 0;
  await eventsOf(steno, session, (event) => {
    if (event.kind === 'gap') gaps += event.count ?? 0;
    const [program] = argvOf(event);
    if (event.kind === 'exec' && (program === 'ls' || program === 'sleep')) seen[program] += 1;
  });
  gaps += await gapsOf(steno, session);
  if (seen.ls !== turns || seen.sleep !== turns || gaps !== 0) process.exitCode = 1;
  return {
    title: 'Kernel events: `while sleep .5; do ls; done`',
    how: `For ${minutes} minutes in a session through a whole Steno. The witness is the loop's own count. \`npm run bench -- kernel_hour --minutes=${minutes}\`.`,
    header: ['turns of the loop', '`sleep` seen', '`ls` seen', 'events in gaps'],
    rows: [[String(turns), String(seen.sleep), String(seen.ls), String(gaps)]],
  };
}
