/** Compiles C programs that produce, or try to hide, an activity, for the test that runs them. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export function hasCompiler(): boolean {
  try {
    execFileSync('clang', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Compiles attacks/`name`.c into `folder` once; returns its path. */
export function compiled(name: string, folder: string): string {
  const program = join(folder, name);
  const source = fileURLToPath(new URL(`attacks/${name}.c`, import.meta.url));
  if (!existsSync(program)) execFileSync('clang', ['-O1', '-pthread', '-o', program, source]);
  return program;
}
