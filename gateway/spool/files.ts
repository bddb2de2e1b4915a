/**
 * The file system as the spool sees it: few calls, each one system call, so that tests can put a hook before and after
 * any of them and kill the process there. `diskFiles` is the only implementation; hooks wrap it (crash.test.ts).
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
  /** `append`: created with mode 0600 when missing, also readable. `fresh`: emptied first. */
  open(path: string, how: 'append' | 'read' | 'fresh'): number;
  /** Whether it worked is not told. */
  close(fd: number): void;
  /** One write(2): may write less than asked, or throw ENOSPC, EIO. */
  write(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  /** One pwrite(2), all of it or an error. */
  writeAt(fd: number, bytes: Uint8Array, position: number): void;
  /** One pread(2): 0 at the end. */
  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number;
  truncate(fd: number, length: number): void;
  size(fd: number): number;
  /** Resolves when the bytes of the file survive a power cut. */
  sync(fd: number): Promise<void>;
  /** Resolves when names made, renamed or removed in the folder survive a power cut. */
  syncFolder(path: string): Promise<void>;
  rename(from: string, to: string): void;
  /** No error when it is missing. */
  unlink(path: string): void;
  list(folder: string): readonly string[];
  readWhole(path: string): Buffer;
  makeFolder(path: string): void;
  /** Size in bytes, or -1 when missing. */
  sizeOf(path: string): number;
  /** Bytes of the disk under `path`. */
  disk(path: string): { readonly free: number; readonly total: number };
}

const fdatasyncAsync = promisify(fdatasync);
const fsyncAsync = promisify(fsync);
const openAsync = promisify(open);
const closeAsync = promisify(close);

export const diskFiles: Files = {
  open: (path, how) => openSync(path, how === 'append' ? 'a+' : how === 'read' ? 'r' : 'w+', 0o600),
  // The last close of an unlinked file gives its blocks back, which takes ms: not in the thread that echoes keys.
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

/** Writes all of it at the end of the file. Throws when the disk does not take it; the file may be longer then. */
export function writeAll(files: Files, fd: number, bytes: Uint8Array, length: number): void {
  for (let offset = 0; offset < length;) offset += files.write(fd, bytes, offset, length - offset);
}
