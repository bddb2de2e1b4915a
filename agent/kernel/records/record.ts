/**
 * One kernel record in the layout of agent/bpf/events.h, little endian: 80 bytes, then its texts.
 *
 * Records come from our own program, but hostile users choose the contents of their texts: every length is checked, and
 * texts remain bytes until converted. Tested in record.test.ts.
 */
import { isUtf8 } from 'node:buffer';

export const RECORD_BYTES = 80;
export const EXEC_FACTS_BYTES = 72;
export const ENDPOINTS_BYTES = 48;
/** After the texts of a counted record: u64 time of the last occurrence, u32 count, u32 unused (folding.ts). */
export const COUNT_BYTES = 16;

export const kinds = {
  fork: 1,
  exec: 2,
  exit: 3,
  file: 4,
  net: 5,
  privilege: 6,
  system: 7,
  /** Records of the agent itself: */ session: 100,
  gap: 101,
  packed: 102,
  digest: 103,
  end: 104,
  content: 105,
} as const;
export const flags = {
  cut: 1,
  compat: 2,
  uring: 4,
  unlinked: 8,
  reached: 16,
  unreadable: 32,
  /** Flags of the agent itself: */ counted: 64,
  filtered: 128,
} as const;

/**
 * A view of one record, valid as long as the underlying bytes. Accessors run about ten times per event, so they use a
 * DataView, which is fastest.
 */
export class KernelRecord {
  readonly bytes: Buffer;
  readonly #view: DataView;
  /** Start and end of the record in `bytes`. */
  at = 0;
  #end = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** False: these bytes are not a record. */
  point(at: number, length: number): boolean {
    this.at = at;
    this.#end = at + length;
    if (length < RECORD_BYTES || this.#end > this.bytes.length) return false;
    let sum = RECORD_BYTES;
    for (let i = 0; i < 4; i++) sum += this.#u32(64 + 4 * i);
    if (this.has(flags.counted)) sum += COUNT_BYTES;
    return sum <= length;
  }

  #u32(offset: number): number {
    return this.#view.getUint32(this.at + offset, true);
  }

  #u64(offset: number): number {
    return this.#u32(offset + 4) * 2 ** 32 + this.#u32(offset);
  }

  /** CLOCK_BOOTTIME in ns; exact for 104 days of uptime, then to a few ns. */
  get time(): number {
    return this.#u64(0);
  }
  get session(): number {
    return this.#u32(8);
  }
  get kind(): number {
    return this.bytes[this.at + 12]!;
  }
  get op(): number {
    return this.bytes[this.at + 13]!;
  }
  get flags(): number {
    return this.#view.getUint16(this.at + 14, true);
  }
  get pid(): number {
    return this.#u32(16);
  }
  get tid(): number {
    return this.#u32(20);
  }
  get uid(): number {
    return this.#u32(24);
  }
  get euid(): number {
    return this.#u32(28);
  }
  get result(): number {
    return this.#view.getInt32(this.at + 36, true) * 2 ** 32 + this.#u32(32);
  }
  get a(): number {
    return this.#u64(40);
  }
  /** `a` as the signed number passed by the caller, exactly. */
  get signedA(): bigint {
    return this.#view.getBigInt64(this.at + 40, true);
  }
  get b(): number {
    return this.#u64(48);
  }
  get signedB(): bigint {
    return this.#view.getBigInt64(this.at + 48, true);
  }
  get c(): number {
    return this.#u32(56);
  }
  get d(): number {
    return this.#u32(60);
  }

  /** How often the event occurred, and the last time; null if once. */
  get repeats(): { readonly count: number; readonly last: number } | null {
    if (!this.has(flags.counted)) return null;
    const trailer = this.#end - COUNT_BYTES - this.at;
    const count = this.#u32(trailer + 8);
    return count < 2 ? null : { count, last: this.#u64(trailer) };
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  text(i: number): Buffer {
    let start = RECORD_BYTES;
    for (let before = 0; before < i; before++) start += this.#u32(64 + 4 * before);
    return this.bytes.subarray(this.at + start, this.at + start + this.#u32(64 + 4 * i));
  }

  /** Whether text `i` is present. */
  holds(i: number): boolean {
    return this.#u32(64 + 4 * i) > 0;
  }
}

/** Hostile bytes as text, with U+FFFD for invalid bytes, in which case the exact bytes are kept too. */
export interface Text {
  readonly text: string;
  /** Set if the bytes were not UTF-8. */
  readonly raw?: Buffer;
  /**
   * For a path whose beginning is unknown. `cut`: too long. `detached`: its mount is in no namespace, so this is the path
   * within its file system.
   */
  readonly above?: 'cut' | 'detached';
}

/** In place of a first component (agent/bpf/events.h). Names never contain a slash. */
const PATH_CUT = '/cut';
const PATH_DETACHED = '/detached';

const ascii = /^[\x00-\x7f]*$/;

export function textOf(bytes: Buffer): Text {
  const simple = bytes.toString('latin1');
  if (ascii.test(simple)) return { text: simple };
  return isUtf8(bytes) ? { text: bytes.toString('utf8') } : { text: bytes.toString('utf8'), raw: bytes };
}

/** The same few paths recur; the cache is cleared at this size. */
const KNOWN_PATHS = 2_000;
const knownPaths = new Map<string, Text>();

/** Converts names, last to first, each terminated by NUL, into an absolute path. */
export function pathOf(components: Buffer): Text {
  const key = components.toString('latin1');
  const known = knownPaths.get(key);
  if (known !== undefined) return known;
  const { text, raw } = textOf(components);
  const names = text.split('\0');
  let last = names.length - 2;
  const above = names[last] === PATH_CUT ? 'cut' : names[last] === PATH_DETACHED ? 'detached' : null;
  if (above !== null) last -= 1;
  // A path whose beginning is missing must not look like one that starts at the root.
  let path = above === 'cut' ? '…' : '';
  for (let i = last; i >= 0; i--) path += `/${names[i]!}`;
  const found: Text = { text: path === '' ? '/' : path, ...(above === null ? {} : { above }) };
  // The bytes under `raw` are reused.
  if (raw !== undefined) return { ...found, raw };
  if (knownPaths.size >= KNOWN_PATHS) knownPaths.clear();
  knownPaths.set(key, found);
  return found;
}

/**
 * Resolves a requested path against its folder. The folder comes from the kernel, so leading `..` refers to its parents;
 * after a name, `..` leads wherever the name points if it is a link, and is kept as requested.
 */
export function resolvePath(base: string, asked: string): string {
  const joined = asked.startsWith('/') ? `${base === '/' ? '' : base}${asked}` : `${base}/${asked}`;
  if (!joined.includes('/.') && !joined.includes('//')) return joined.length > 1 && joined.endsWith('/') ? joined.slice(0, -1) : joined;
  const kept = base.split('/').filter((name) => name !== '');
  // The root of the request: nothing is above it.
  const floor = asked.startsWith('/') ? kept.length : base.startsWith('…') ? 1 : 0;
  let known = kept.length;
  for (const name of asked.split('/')) {
    if (name === '' || name === '.') continue;
    if (name !== '..' || kept.length > known) kept.push(name);
    else if (kept.length > floor) {
      kept.pop();
      known = kept.length;
    }
  }
  return `${base.startsWith('…') ? '' : '/'}${kept.join('/')}`;
}

/** Whether a path passes through names that may be links, so it need not be where its names say. */
export function mayBeElsewhere(asked: string): boolean {
  return /(?:^|\/)(?!\.{1,2}(?:\/|$))[^/]+\/+\.\.(?:\/|$)|^\/+(?:proc\/+(?:[^/]+\/+(?:root|cwd|fd|task)|self|thread-self)|dev\/+fd)(?:\/|$)/.test(
    asked,
  );
}

export interface Endpoints {
  readonly family: number;
  /** SOCK_STREAM 1, SOCK_DGRAM 2, SOCK_RAW 3. */
  readonly type: number;
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  readonly remotePort: number;
}

/** Parses `struct endpoints`; null for invalid bytes. */
export function endpointsOf(bytes: Buffer): Endpoints | null {
  if (bytes.length < ENDPOINTS_BYTES) return null;
  const family = bytes.readUInt16LE(0);
  return {
    family,
    type: bytes.readUInt16LE(2) & 0xf,
    localPort: bytes.readUInt16LE(4),
    remotePort: bytes.readUInt16LE(6),
    local: addressOf(family, bytes.subarray(8, 24)),
    remote: addressOf(family, bytes.subarray(24, 40)),
  };
}

function addressOf(family: number, bytes: Buffer): string {
  if (family === 2) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  // The machine number (vsock).
  if (family === 40) return String(bytes.readUInt32LE(0));
  if (family !== 10) return '';
  // An IPv4 address mapped into IPv6 is written as IPv4.
  if (bytes.readUInt32BE(0) === 0 && bytes.readUInt32BE(4) === 0 && bytes.readUInt32BE(8) === 0xffff)
    return addressOf(2, bytes.subarray(12));
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  let best = { from: -1, length: 1 };
  for (let from = 0; from < 8; from++) {
    let length = 0;
    while (words[from + length] === '0') length++;
    if (length > best.length) best = { from, length };
  }
  if (best.from < 0) return words.join(':');
  return `${words.slice(0, best.from).join(':')}::${words.slice(best.from + best.length).join(':')}`;
}

export interface ExecFacts {
  readonly inode: number;
  readonly size: number;
  readonly argvBytes: number;
  /** Change time, ns since 1970; 0 if unknown. */
  readonly changed: bigint;
  readonly device: number;
  readonly links: number;
  readonly gid: number;
  readonly egid: number;
  readonly mntNs: number;
  readonly pidNs: number;
  readonly mode: number;
  /** Magic number of the file system that holds the bytes; 0 if unknown. */
  readonly magic: number;
  /** The path passed to execve: for a script, the script, while the record's path is its interpreter. */
  readonly filename: Text;
  /** Names of the control group, its parent and its parent's parent. */
  readonly cgroup: readonly string[];
}

/** Text 3 of an exec; null for invalid bytes. */
export function execFactsOf(bytes: Buffer): ExecFacts | null {
  if (bytes.length < EXEC_FACTS_BYTES) return null;
  const number = (at: number): number => bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
  const filenameEnd = EXEC_FACTS_BYTES + bytes.readUInt32LE(60);
  const cgroupEnd = filenameEnd + bytes.readUInt32LE(64);
  if (cgroupEnd > bytes.length) return null;
  return {
    inode: number(0),
    size: number(8),
    argvBytes: number(16),
    changed: bytes.readBigUInt64LE(24),
    device: bytes.readUInt32LE(32),
    links: bytes.readUInt32LE(36),
    gid: bytes.readUInt32LE(40),
    egid: bytes.readUInt32LE(44),
    mntNs: bytes.readUInt32LE(48),
    pidNs: bytes.readUInt32LE(52),
    mode: bytes.readUInt32LE(56),
    magic: bytes.readUInt32LE(68),
    filename: textOf(bytes.subarray(EXEC_FACTS_BYTES, filenameEnd)),
    cgroup: textOf(bytes.subarray(filenameEnd, cgroupEnd))
      .text.split('\0')
      .filter((name) => name !== ''),
  };
}

/**
 * Key of the executed file's state, as far as text 3 of an exec gives it: equal keys mean equal content. Null if not
 * reported. Cheap, since it is computed for every execution.
 */
export function fileStateOf(bytes: Buffer): string | null {
  if (bytes.length < EXEC_FACTS_BYTES || bytes.readBigUInt64LE(24) === 0n) return null;
  // The bytes of inode, size and change time, then of the device, form the key.
  return bytes.toString('latin1', 0, 16) + bytes.toString('latin1', 24, 36);
}
