/** Paths in the data directory (data-dir.ts), without the code that reads the files. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export interface DataDir {
  readonly path: string;
  readonly socket: string;
  readonly runFile: string;
  readonly lockFile: string;
  /** Folder of the stages' logs. */
  readonly logs: string;
}

export function dataDir(option: string | undefined, environment: NodeJS.ProcessEnv = process.env): DataDir {
  const base = environment['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share');
  const path = resolve(option ?? environment['STENO_DATA'] ?? join(base, 'steno'));
  return {
    path,
    socket: join(path, 'authority.sock'),
    runFile: join(path, 'run.json'),
    lockFile: join(path, 'up.lock'),
    logs: join(path, 'logs'),
  };
}
