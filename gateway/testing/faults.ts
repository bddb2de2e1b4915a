/** The real file system with hooks, for tests: each call can be made to fail before it is done or after it was done. */
import { diskFiles } from '../spool/files.js';
import type { Files } from '../spool/files.js';

export type Fault =
  | { readonly kind: 'fail'; readonly code: string }
  /** Done, but reported as failed. */
  | { readonly kind: 'fail after'; readonly code: string }
  /** Only for writes: part of it is done, then the error. */
  | { readonly kind: 'fail midway'; readonly code: string }
  | null;

export type FileCall = 'open' | 'write' | 'writeAt' | 'truncate' | 'sync' | 'syncFolder' | 'rename' | 'unlink' | 'read';

/** `hook` is called for every file system call; `path` is the path of the file, also for calls that take a descriptor. */
export function faultyFiles(hook: (call: FileCall, path: string) => Fault, after?: (call: FileCall, path: string) => void): Files {
  const paths = new Map<number, string>();
  const run = <T>(call: FileCall, path: string, act: () => T): T => {
    const fault = hook(call, path);
    if (fault?.kind === 'fail') throw failure(fault.code);
    const result = act();
    if (fault !== null) throw failure(fault.code);
    after?.(call, path);
    return result;
  };
  const at = (fd: number): string => paths.get(fd) ?? '';
  return {
    ...diskFiles,
    open: (path, how) => {
      const fd = run('open', path, () => diskFiles.open(path, how));
      paths.set(fd, path);
      return fd;
    },
    write(fd, bytes, offset, length) {
      const fault = hook('write', at(fd));
      if (fault?.kind === 'fail') throw failure(fault.code);
      const wanted = fault?.kind === 'fail midway' ? Math.ceil(length / 2) : length;
      const written = diskFiles.write(fd, bytes, offset, wanted);
      if (fault !== null) throw failure(fault.code);
      after?.('write', at(fd));
      return written;
    },
    writeAt: (fd, bytes, position) => run('writeAt', at(fd), () => diskFiles.writeAt(fd, bytes, position)),
    read: (fd, into, offset, length, position) => run('read', at(fd), () => diskFiles.read(fd, into, offset, length, position)),
    truncate: (fd, length) => run('truncate', at(fd), () => diskFiles.truncate(fd, length)),
    rename: (from, to) => run('rename', from, () => diskFiles.rename(from, to)),
    unlink: (path) => run('unlink', path, () => diskFiles.unlink(path)),
    async sync(fd) {
      const fault = hook('sync', at(fd));
      if (fault?.kind === 'fail') throw failure(fault.code);
      await diskFiles.sync(fd);
      if (fault !== null) throw failure(fault.code);
      after?.('sync', at(fd));
    },
    async syncFolder(path) {
      const fault = hook('syncFolder', path);
      if (fault?.kind === 'fail') throw failure(fault.code);
      await diskFiles.syncFolder(path);
      if (fault !== null) throw failure(fault.code);
      after?.('syncFolder', path);
    },
  };
}

function failure(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}
