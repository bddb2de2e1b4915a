/** Streams recorded in full: their speed while the spool has room, and the speed at which everything is stored. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { eventually } from '../../../test/end-to-end/machine.js';
import type { SessionRow } from '../../../test/end-to-end/machine.js';
import type { Field } from '../../field.js';
import { cpuSeconds } from '../../field.js';
import { round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const MIB = 1 << 20;
const loads = ['noise', 'text'] as const;

function* content(load: (typeof loads)[number], mebibytes: number): Generator<Buffer> {
  for (let i = 0; i < mebibytes; i++) {
    if (load === 'noise') {
      yield randomBytes(MIB);
      continue;
    }
    let text = '';
    for (let n = 0; text.length < MIB; n++) {
      const word = createHash('md5').update(`${i} ${n}`).digest('hex').slice(0, 8);
      text += `2026-01-31T12:00:00 host service[${n}]: request ${word} took ${n % 977} ms\n`;
    }
    yield Buffer.from(text.slice(0, MIB));
  }
}

export async function bulkFull(field: Field, rounds: number, mebibytes: number): Promise<Section> {
  const { steno, routes } = field;
  const load = loadavg()[0]!.toFixed(1);
  const rows: string[][] = [];
  for (const kind of loads) {
    process.stderr.write(`bulk in full, ${kind}\n`);
    const file = join(steno.folder, kind);
    await pipeline(Readable.from(content(kind, mebibytes)), createWriteStream(file));
    const figures: { readonly seen: number; readonly stored: number; readonly cpu: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const before = await steno.json<SessionRow[]>('sessions', '--limit', '1000');
      const known = new Set(before.map(({ id }) => id));
      const store = steno.run.processes['store']!;
      const cpu = cpuSeconds(store);
      const start = performance.now();
      const child = spawn('ssh', ['-T', ...routes.steno, `cat ${file}`], { stdio: ['ignore', 'pipe', 'inherit'] });
      child.stdout!.resume();
      const [code] = (await once(child, 'close')) as [number];
      if (code !== 0) throw new Error(`ssh ended with ${code}`);
      const seen = (performance.now() - start) / 1000;
      await eventually(
        () => steno.json<SessionRow[]>('sessions', '--limit', '1000'),
        (list) => list.some(({ id, state }) => !known.has(id) && state !== 'live'),
        600_000,
      );
      const stored = (performance.now() - start) / 1000;
      const mb = (mebibytes * MIB) / 1e6;
      figures.push({ seen: mb / seen, stored: mb / stored, cpu: ((cpuSeconds(store) - cpu) / mb) * 100 });
    }
    const median = (of: (figure: (typeof figures)[number]) => number): string =>
      round3(figures.map(of).sort((a, b) => a - b)[Math.floor(figures.length / 2)]!);
    rows.push([kind, median(({ seen }) => seen), median(({ stored }) => stored), median(({ cpu }) => cpu)]);
  }
  return {
    title: 'Bulk, recorded in full',
    how:
      `${mebibytes} MiB of random bytes, and of log lines, by \`ssh … cat\`, with the default of roles, median of ${rounds} rounds. ` +
      `"To the user" is what the user sees while the spool has room; "stored" is until the store has acknowledged all of it. Load before: ${load}.`,
    header: ['content', 'to the user, MB/s', 'stored, MB/s', 'processor of the store a 100 MB, s'],
    rows,
  };
}
