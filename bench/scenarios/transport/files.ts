/** sftp of one large file and of many small files. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Field } from '../../field.js';
import { interleave, ratio, round3 } from '../../measure.js';
import type { Figure, Section } from '../../measure.js';

async function sftp(args: readonly string[], batch: string): Promise<number> {
  const start = performance.now();
  const child = spawn('sftp', ['-q', '-b', '-', ...args], { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(batch);
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`sftp ended with ${code}`);
  return (performance.now() - start) / 1000;
}

export async function files(field: Field, rounds: number, mebibytes: number, small: number): Promise<Section> {
  const { routes, steno } = field;
  const source = join(steno.folder, 'files');
  mkdirSync(source);
  execFileSync('head', ['-c', String(mebibytes << 20), '/dev/zero'], {
    stdio: ['ignore', openFile(join(steno.folder, 'large')), 'inherit'],
  });
  for (let i = 0; i < small; i++) writeFileSync(join(source, `f${i}`), Buffer.alloc(4096, i));
  const target = join(steno.folder, 'target');
  const cases: readonly [string, string][] = [
    [`put of ${mebibytes} MiB`, `put ${join(steno.folder, 'large')} ${target}/large\n`],
    [`get of ${mebibytes} MiB`, `get ${join(steno.folder, 'large')} ${target}/large\n`],
    [`put of ${small} files of 4 KiB`, `put -R ${source} ${target}\n`],
  ];
  const rows: string[][] = [];
  for (const [title, batch] of cases) {
    process.stderr.write(`sftp ${title}\n`);
    const run = (args: readonly string[]) => async (): Promise<number> => {
      rmSync(target, { recursive: true, force: true });
      mkdirSync(target);
      return sftp(args, batch);
    };
    const figures = await interleave(
      (['steno', 'hop', 'jump', 'direct'] as const).map((name) => ({ name, run: run(routes[name]) })),
      rounds,
    );
    const [steno, hop, jump] = figures as [Figure, Figure, Figure];
    rows.push([
      title,
      ...figures.map((f) => `${round3(f.median)} (${round3(f.min)}–${round3(f.max)})`),
      ...[steno, hop].map((figure) => `${ratio(jump, figure).toFixed(2)}x`),
    ]);
  }
  return {
    title: 'sftp, every file with its SHA-256',
    how: `OpenSSH \`sftp\`, seconds, median (least–most) of ${rounds} rounds. The last columns are speeds: above 1 Steno is faster.`,
    header: [
      'transfer',
      '`node.steno`',
      '`-J gateway node`',
      'peer: `-J`, OpenSSH',
      'direct',
      'speed, node.steno / peer',
      'speed, -J gateway / peer',
    ],
    rows,
  };
}

function openFile(path: string): number {
  writeFileSync(path, '');
  return openSync(path, 'w');
}
