/**
 * Rows about files: opened, created, moved, removed or changed; and failed executions. Tested in rows.test.ts and
 * ../probes/files.test.ts.
 */
import { flags, textOf } from '../records/record.js';
import type { KernelRecord } from '../records/record.js';
import { marksOf, noted, outcomeOf, place, rawOf, reasonOf, splitArguments, unconfirmed, unknownRow } from './row-facts.js';
import type { Row } from './row-facts.js';
import { opNames } from '../probes/syscalls.js';
import type { Op } from '../probes/syscalls.js';

const { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_DIRECTORY, O_EXCL, O_PATH, O_TMPFILE } = {
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_DIRECTORY: 0o200000,
  O_EXCL: 0o200,
  O_PATH: 0o10000000,
  O_TMPFILE: 0o20000000,
};
/** include/linux/fs.h: this open created the file. */
const FMODE_CREATED = 0x10_0000;
const opens: ReadonlySet<Op> = new Set<Op>(['open', 'openat', 'openat2', 'creat', 'open_by_handle_at']);
const pairs: ReadonlySet<Op> = new Set<Op>(['rename', 'renameat', 'renameat2', 'link', 'linkat']);
/** One name for calls that do the same with and without a folder descriptor. */
const shortNames: Partial<Record<Op, string>> = {
  renameat: 'rename',
  renameat2: 'rename',
  unlinkat: 'unlink',
  linkat: 'link',
  symlinkat: 'symlink',
  mkdirat: 'mkdir',
  mknodat: 'mknod',
  fchmod: 'chmod',
  fchmodat: 'chmod',
  fchown: 'chown',
  fchownat: 'chown',
  ftruncate: 'truncate',
  fsetxattr: 'setxattr',
  setxattrat: 'setxattr',
  fremovexattr: 'removexattr',
  removexattrat: 'removexattr',
  utimensat: 'utimes',
  futimesat: 'utimes',
  execve: 'execute',
  execveat: 'execute',
  file_setattr: 'chattr',
  mmap: 'map',
  mprotect: 'map',
};
/** include/uapi/asm-generic/mman-common.h */
const PROT_WRITE = 2;
const AT_REMOVEDIR = 0x200;
const RENAME_EXCHANGE = 2;
const TIOCSTI = 0x5412;
const nodeTypes = new Map([
  [0o020000, 'character device'],
  [0o060000, 'block device'],
  [0o010000, 'fifo'],
  [0o140000, 'socket'],
  [0o100000, 'file'],
  [0, 'file'],
]);
/** include/uapi/linux/fs.h, FS_*_FL: the flags that lsattr shows by a letter and that restrict or hide. */
const attributeNames = new Map([
  [0x01, 'secure_delete'],
  [0x08, 'sync'],
  [0x10, 'immutable'],
  [0x20, 'append_only'],
  [0x40, 'no_dump'],
  [0x80, 'no_atime'],
]);

function openedFor(asked: number): string {
  // For an O_PATH descriptor the other flags have no meaning (open(2)).
  if ((asked & O_PATH) !== 0) return (asked & O_DIRECTORY) === 0 ? 'path' : 'path,directory';
  let text = (asked & O_RDWR) !== 0 ? 'read,write' : (asked & O_WRONLY) !== 0 ? 'write' : 'read';
  if ((asked & O_TMPFILE) !== 0) return `${text},temporary`;
  if ((asked & O_CREAT) !== 0) text += ',create';
  if ((asked & O_EXCL) !== 0) text += ',exclusive';
  if ((asked & O_TRUNC) !== 0) text += ',truncate';
  if ((asked & O_APPEND) !== 0) text += ',append';
  if ((asked & O_DIRECTORY) !== 0) text += ',directory';
  return text;
}

/** The path whose content a successful call changes or is about to change; null: none. Cheap, since it is computed for every file event. */
export function changedPath(record: KernelRecord): string | null {
  const op = opNames.get(record.op);
  if (op === undefined || record.result < 0) return null;
  if (opens.has(op)) {
    const isWriting = (record.a & (O_WRONLY | O_RDWR | O_TRUNC)) !== 0 && (record.a & (O_PATH | O_DIRECTORY)) === 0;
    return isWriting || (record.c & FMODE_CREATED) !== 0 ? place(record, 0).text : null;
  }
  if (pairs.has(op)) return place(record, 2).text;
  return op === 'unlink' || op === 'unlinkat' || op === 'truncate' || op === 'symlink' || op === 'symlinkat' ? place(record, 0).text : null;
}

export function fileRow(record: KernelRecord): Row {
  const op = opNames.get(record.op);
  if (op === undefined) return unknownRow(record);
  const first = place(record, 0);
  const outcome = outcomeOf(record);
  const data = noted(record);
  if (first.raw !== undefined) Object.assign(data, rawOf('path', first.raw));
  const base = { kind: 'file', outcome } as const;
  if (opens.has(op)) {
    const asked = record.a;
    data['flags'] = asked;
    // The path reached cannot come from a seccomp filter; only the descriptor it names can.
    return {
      ...base,
      name: (record.c & FMODE_CREATED) !== 0 ? 'create' : 'open',
      path: first.text,
      ...reasonOf(openedFor(asked), ...marksOf(first)),
      data,
    };
  }
  const name = op === 'unlinkat' && (record.a & AT_REMOVEDIR) !== 0 ? 'rmdir' : (shortNames[op] ?? op);
  const doubts = unconfirmed(record);
  if (pairs.has(op)) {
    // The path is the destination; the source is recorded beside it.
    const second = place(record, 2);
    const exchanged = op === 'renameat2' && (record.a & RENAME_EXCHANGE) !== 0;
    return {
      ...base,
      name: exchanged ? 'exchange' : name,
      path: second.text,
      ...reasonOf(...marksOf(second), ...marksOf(first).map((mark) => `from ${mark}`), ...doubts),
      data: { ...data, ...rawOf('path', second.raw), from: first.text },
    };
  }
  const marks = [...marksOf(first), ...doubts];
  const plain = { ...base, name, path: first.text, ...reasonOf(...marks) };
  switch (name) {
    case 'symlink':
      return { ...plain, data: { ...data, target: textOf(record.text(3)).text } };
    case 'chmod':
    case 'mkdir':
      return { ...plain, data: { ...data, mode: record.a & 0o7777 } };
    case 'chown':
      return { ...plain, data: { ...data, owner: record.a | 0, group: record.b | 0 } };
    case 'mknod': {
      const type = nodeTypes.get(record.a & 0o170000) ?? 'unknown type';
      // new_decode_dev(): the 12 major bits are between 8 and 12 minor bits.
      const device = type.endsWith('device')
        ? { major: (record.b >>> 8) & 0xfff, minor: (record.b & 0xff) | ((record.b >>> 12) & 0xfff00) }
        : {};
      return { ...plain, ...reasonOf(type, ...marks), data: { ...data, mode: record.a & 0o7777, type, ...device } };
    }
    case 'truncate':
    case 'fallocate': {
      // Anybody may pass a negative length, which fails and is not a size.
      const asked = name === 'truncate' ? record.signedA : record.signedB;
      const size = Number(asked);
      return { ...plain, ...(size >= 0 && Number.isSafeInteger(size) ? { size, data } : { data: { ...data, length: String(asked) } }) };
    }
    case 'setxattr':
    case 'removexattr':
      return {
        ...plain,
        ...reasonOf(textOf(record.text(2)).text, ...marks),
        data: {
          ...data,
          ...(record.holds(3) ? { value_base64: record.text(3).toString('base64') } : {}),
          ...(name === 'setxattr' && !record.has(flags.uring) ? { value_bytes: record.b } : {}),
        },
      };
    case 'map': {
      // Code that no execution announced: a library, or memory filled by the program itself.
      const memory = first.text === '';
      const writable = (record.a & PROT_WRITE) !== 0;
      return {
        ...plain,
        ...(Number.isSafeInteger(record.b) ? { size: record.b } : {}),
        ...reasonOf(memory ? 'executable memory' : 'executable', ...(writable ? ['writable'] : []), ...marks),
        data,
      };
    }
    case 'utimes':
      return {
        ...plain,
        data: {
          ...data,
          ...(record.c === 1
            ? { to: 'now' }
            : record.c === 2
              ? { accessed: String(record.signedA), modified: String(record.signedB) }
              : {}),
        },
      };
    case 'ioctl':
    case 'chattr': {
      if (name === 'ioctl' && record.a === TIOCSTI) return { ...plain, name: 'type', ...reasonOf('into a terminal', ...marks), data };
      const set = [...attributeNames].filter(([bit]) => (record.b & bit) !== 0).map(([, text]) => text);
      return { ...plain, name: 'chattr', ...reasonOf(...set, ...marks), data: { ...data, attributes: record.b } };
    }
    case 'execute': {
      const argv = splitArguments(record.text(2)).map(({ text }) => text);
      return { ...plain, ...reasonOf(argv.join(' '), ...marks), data: { ...data, argv } };
    }
    default:
      return { ...plain, data };
  }
}
