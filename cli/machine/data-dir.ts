/**
 * The data directory of a `steno up`: where it is, who holds it, and what runs where.
 *
 *     up.lock                  pid of the `steno up` that holds the directory
 *     run.json                 addresses, written when all of it is ready, removed at the end
 *     authority.sock           0600 Unix socket of the authority
 *     authority/ gateway/ agent/ store/                each stage's own files
 *
 * Tested in data-dir.test.ts.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import type { DataDir } from './data-paths.js';
import { writeWhole } from '../client/home.js';

export { dataDir } from './data-paths.js';
export type { DataDir } from './data-paths.js';

const runSchema = z.object({
  version: z.string(),
  pid: z.number(),
  started_at: z.number(),
  data: z.string(),
  ssh: z.string(),
  web: z.string(),
  tunnel: z.string(),
  authority: z.string(),
  ingest: z.string(),
  socket: z.string(),
  node: z.string().nullable(),
  fips: z.boolean().default(false),
  processes: z.record(z.string(), z.number()),
});
/** `DIR/run.json`. Addresses are `host:port`; `web` and `authority` are base URLs. */
export type RunFile = z.infer<typeof runSchema>;

/** Throws NOT_RUNNING when nothing runs on the directory. */
export function readRunFile(dir: DataDir): RunFile {
  let text: string;
  try {
    text = readFileSync(dir.runFile, 'utf8');
  } catch (cause) {
    throw new StenoError('NOT_RUNNING', `no run.json in ${dir.path}`, { cause });
  }
  const run = runSchema.parse(JSON.parse(text));
  if (!isAlive(run.pid)) throw new StenoError('NOT_RUNNING', `run.json in ${dir.path} is of a process that is gone`);
  return run;
}

export function writeRunFile(dir: DataDir, run: RunFile): void {
  writeWhole(dir.runFile, `${JSON.stringify(run, null, 2)}\n`, 0o600);
}

/** Takes the directory for this process; a holder that died is replaced. Throws ALREADY_RUNNING. */
export function lockDataDir(dir: DataDir): () => void {
  mkdirSync(dir.path, { recursive: true, mode: 0o700 });
  for (let attempt = 0; ; attempt++) {
    try {
      const fd = openSync(dir.lockFile, 'wx', 0o600);
      writeSync(fd, `${process.pid}\n`);
      closeSync(fd);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 3) throw error;
      const holder = Number(readFileSync(dir.lockFile, 'utf8'));
      if (isAlive(holder) && holder !== process.pid) throw new StenoError('ALREADY_RUNNING', `${dir.path}, process ${holder}`);
      rmSync(dir.lockFile, { force: true });
    }
  }
  rmSync(dir.runFile, { force: true });
  return () => {
    rmSync(dir.runFile, { force: true });
    rmSync(dir.lockFile, { force: true });
  };
}

/** Throws DISK_NEARLY_FULL when less than 256 MiB or 2 % are free, whichever is less. */
export function checkDisk(path: string): { readonly free: number; readonly total: number } {
  const { bavail, blocks, bsize } = statfsSync(path);
  const free = bavail * bsize;
  const total = blocks * bsize;
  if (free < Math.min(256 << 20, total * 0.02))
    throw new StenoError('DISK_NEARLY_FULL', `${Math.round(free / (1 << 20))} MiB free at ${path}`);
  return { free, total };
}

/** Whether a process of this id runs and is a Node program: ids are reused, also after a restart of the machine. */
function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid < 2) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('steno');
  } catch {
    return true;
  }
}
