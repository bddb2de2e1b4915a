/** Builds load.c, the load of the kernel benchmarks. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Returns the path of the executable in `folder`. Needs clang. */
export function buildLoad(folder: string): string {
  const source = ['./load.c', '../../../../bench/scenarios/kernel/load.c']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path))!;
  const load = join(folder, 'load');
  execFileSync('clang', ['-O2', '-o', load, source]);
  return load;
}
