/**
 * The file system as the spool uses it: few calls, each a single system call, so that tests can hook in before and after any
 * of them and kill the process there. `diskFiles` is the only implementation; hooks wrap it (crash.test.ts).
 */
import {
  fdatasync,
  fsync,
  ftruncateSync,
  fstatSync,
  mkdirSync,
  open,
  close,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { promisify } from 'node:util';

export interface Files {
  /** `append`: created with mode 0600 if missing; also readable. `fresh`: truncated first. */
  open(path: string, how: 'append' | 'read' | 'fresh'): number;
  /** Failures are not reported. */
  close(fd: number): void;
  /** One write(2): may write less than asked, or throw ENOSPC, EIO. */
  write(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  /** One pwrite(2): writes everything or throws. */
  writeAt(fd: number, bytes: Uint8Array, position: number): void;
  /** One pread(2): 0 at the end. */
  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number;
  truncate(fd: number, length: number): void;
  size(fd: number): number;
  /** Resolves when the bytes of the file survive a power cut. */
  sync(fd: number): Promise<void>;
  /** Resolves when names created, renamed or removed in the folder survive a power cut. */
  syncFolder(path: string): Promise<void>;
  rename(from: string, to: string): void;
  /** Not an error if the file is missing. */
  unlink(path: string): void;
  list(folder: string): readonly string[];
  readWhole(path: string): Buffer;
  makeFolder(path: string): void;
  /** Size in bytes, or -1 if missing. */
  sizeOf(path: string): number;
  /** Bytes of the disk that holds `path`. */
  disk(path: string): { readonly free: number; readonly total: number };
}

const fdatasyncAsync = promisify(fdatasync);
const fsyncAsync = promisify(fsync);
const openAsync = promisify(open);
const closeAsync = promisify(close);

export const diskFiles: Files = {
  open: (path, how) => openSync(path, how === 'append' ? 'a+' : how === 'read' ? 'r' : 'w+', 0o600),
  // Closing an unlinked file for the last time frees its blocks, which takes milliseconds: keep that off the thread that
  // echoes keys.
  close: (fd) => close(fd, () => undefined),
  write: (fd, bytes, offset, length) => writeSync(fd, bytes, offset, length),
  writeAt(fd, bytes, position) {
    if (writeSync(fd, bytes, 0, bytes.length, position) !== bytes.length) throw new Error('short write');
  },
  read: (fd, into, offset, length, position) => readSync(fd, into, offset, length, position),
  truncate: ftruncateSync,
  size: (fd) => fstatSync(fd).size,
  sync: (fd) => fdatasyncAsync(fd),
  async syncFolder(path) {
    const fd = await openAsync(path, 'r');
    try {
      await fsyncAsync(fd);
    } finally {
      await closeAsync(fd);
    }
  },
  rename: renameSync,
  unlink(path) {
    try {
      unlinkSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  },
  list: (folder) => readdirSync(folder),
  readWhole: (path) => readFileSync(path),
  makeFolder: (path) => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  },
  sizeOf: (path) => statSync(path, { throwIfNoEntry: false })?.size ?? -1,
  disk(path) {
    const { bavail, blocks, bsize } = statfsSync(path);
    return { free: bavail * bsize, total: blocks * bsize };
  },
};

/** Appends everything to the file. Throws if the disk refuses; the file may be longer by then. */
export function writeAll(files: Files, fd: number, bytes: Uint8Array, length: number): void {
  for (let offset = 0; offset < length;) offset += files.write(fd, bytes, offset, length - offset);
}
