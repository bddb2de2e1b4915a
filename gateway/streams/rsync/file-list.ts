/**
 * Parses the file lists of an rsync transfer (flist.c, `recv_file_entry`) and finds a file by its index.
 *
 * Indexes count in sorted order, so each list is sorted as both peers do (`f_name_cmp`): names are held as keys whose byte
 * order is that order, `01 name` for a file and `02 name /` for a directory and each of its parents. Lists are packed, and
 * their memory comes from the stream's budget; a list that does not fit is `dropped`: parsed, but without names.
 */
import type { Budget } from '../observing/budget.js';
import { MAX_PATH_BYTES } from '../observing/budget.js';
import { Lost, skip } from '../observing/feed.js';
import type { Reading } from '../observing/feed.js';
import type { RsyncArgs } from './args.js';
import { int32, longint, varint, varlong } from './multiplex.js';

/** The negotiated settings that the format of lists depends on. */
export interface ListFormat {
  readonly protocol: number;
  readonly varintFlags: boolean;
  readonly safeList: boolean;
  readonly incRecurse: boolean;
  readonly id0Names: boolean;
  readonly checksumBytes: number;
}

export interface Entry {
  readonly name: string;
  readonly size: number;
  /** With the file type bits. */
  readonly mode: number;
}

const flags = {
  sameMode: 1 << 1,
  extended: 1 << 2,
  sameRdevOld: 1 << 2,
  sameUid: 1 << 3,
  sameGid: 1 << 4,
  sameName: 1 << 5,
  longName: 1 << 6,
  sameTime: 1 << 7,
  sameRdevMajor: 1 << 8,
  hardLinked: 1 << 9,
  userName: 1 << 10,
  sameDevOld: 1 << 10,
  groupName: 1 << 11,
  rdevMinor8Old: 1 << 11,
  hardLinkFirst: 1 << 12,
  ioErrorEnd: 1 << 12,
  modNsec: 1 << 13,
  sameAtime: 1 << 14,
  crtimeIsMtime: 1 << 17,
} as const;

const S_IFMT = 0o170000;
export function fileType(mode: number): 'file' | 'directory' | 'link' | 'device' | 'special' {
  switch (mode & S_IFMT) {
    case 0o100000:
      return 'file';
    case 0o040000:
      return 'directory';
    case 0o120000:
      return 'link';
    case 0o020000:
    case 0o060000:
      return 'device';
    default:
      return 'special';
  }
}

const RECORD_HEAD = 8;
/** Cost of a staged entry beside its record, while its list is read and sorted. */
const ENTRY_COST = 16;
const LIST_COST = 512;
/** Most entries of one list, kept or not: no file system's directory has more. */
const MAX_ENTRIES = 50_000_000;

/** One list in index order; record: u48 size ‖ u16 mode ‖ key without the prefix that all entries share. */
class FileList {
  readonly start: number;
  readonly length: number;
  /** `null` if the list did not fit. */
  private readonly records: Buffer | null;
  private readonly offsets: Uint32Array;
  private readonly prefix: Buffer;
  readonly cost: number;

  constructor(start: number, length: number, records: Buffer | null, offsets: Uint32Array, prefix: Buffer, cost: number) {
    this.start = start;
    this.length = length;
    this.records = records;
    this.offsets = offsets;
    this.prefix = prefix;
    this.cost = cost;
  }

  entry(index: number): Entry | null {
    const at = this.offsets[index - this.start];
    if (this.records === null || at === undefined) return null;
    const end = this.offsets[index - this.start + 1] ?? this.records.length;
    const key = Buffer.concat([this.prefix, this.records.subarray(at + RECORD_HEAD, end)]);
    return { size: this.records.readUIntLE(at, 6), mode: this.records.readUInt16LE(at + 6), name: nameOf(key) };
  }
}

export class FileLists {
  private readonly args: RsyncArgs;
  private readonly format: ListFormat;
  private readonly budget: Budget;
  private lists: FileList[] = [];
  private nextStart: number;
  private listsRead = 0;
  /** Entries of the first list, plus those of the second if it is needed to tell whether the first is a single file. */
  total = 0;
  /** Entries of all lists so far. */
  entries = 0;
  // Fields that an entry omits are as in the previous entry, also across lists.
  private lastName: Buffer = Buffer.alloc(0);
  private mode = 0;
  // The list being read, packed in the order of arrival.
  private staging = Buffer.alloc(0);
  private staged = 0;
  private starts: number[] = [];
  private prefix: Buffer = Buffer.alloc(0);
  private count = 0;
  private dropped = false;

  constructor(args: RsyncArgs, format: ListFormat, budget: Budget) {
    this.args = args;
    this.format = format;
    this.budget = budget;
    this.nextStart = format.incRecurse ? 1 : 0;
  }

  get open(): number {
    return this.lists.length;
  }

  /** `null` if the index is in no list; `dropped` if its list was too large to be held. */
  find(index: number): Entry | 'dropped' | null {
    const list = this.listOf(index);
    return list === undefined || index < list.start ? null : (list.entry(index) ?? 'dropped');
  }

  /** The directory of the list whose first index is `index + 1`; its name is derived from the list's first entry. */
  findDirectory(index: number): string | null {
    const list = this.format.incRecurse ? this.listOf(index) : undefined;
    if (list === undefined || index !== list.start - 1) return null;
    const name = list.entry(list.start)?.name ?? '';
    const slash = name.lastIndexOf('/');
    return slash > 0 ? name.slice(0, slash) : null;
  }

  /** The list that contains an index, or whose directory has that index. */
  private listOf(index: number): FileList | undefined {
    let low = 0;
    let high = this.lists.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lists[middle]!.start - 1 <= index) low = middle + 1;
      else high = middle;
    }
    const list = this.lists[low - 1];
    return list !== undefined && index < list.start + list.length ? list : undefined;
  }

  freeFirst(): void {
    const list = this.lists.shift();
    if (list !== undefined) this.budget.give(list.cost);
  }

  *readList(): Reading {
    const { format } = this;
    this.count = 0;
    this.dropped = false;
    for (;;) {
      let xflags: number;
      if (format.varintFlags) {
        xflags = yield* varint();
        if (xflags === 0) {
          yield* varint();
          break;
        }
      } else {
        xflags = (yield 1)[0]!;
        if (xflags === 0) break;
        if (format.protocol >= 28 && (xflags & flags.extended) !== 0) xflags |= (yield 1)[0]! << 8;
        if (xflags === (flags.extended | flags.ioErrorEnd) && format.safeList) {
          yield* varint();
          break;
        }
      }
      if (++this.count > MAX_ENTRIES) throw new Lost('a file list is too long');
      yield* this.readEntry(xflags);
    }
    this.finishList();
    if (!format.incRecurse) yield* this.readIds();
    if (format.protocol < 30) yield* int32();
  }

  private *readEntry(xflags: number): Reading {
    const { protocol } = this.format;
    const { letters, long } = this.args;
    const shared = (xflags & flags.sameName) !== 0 ? (yield 1)[0]! : 0;
    const own = (xflags & flags.longName) === 0 ? (yield 1)[0]! : protocol < 30 ? yield* int32() : yield* varint();
    if (own < 0 || shared + own >= MAX_PATH_BYTES || shared > this.lastName.length) throw new Lost('a name is too long');
    const name = Buffer.concat([this.lastName.subarray(0, shared), yield own]);
    this.lastName = name;

    if (letters.has('H') && protocol >= 30 && (xflags & (flags.hardLinked | flags.hardLinkFirst)) === flags.hardLinked) {
      const first = (yield* varint()) - this.nextStart;
      if (first >= 0) {
        // The first link of this file is in the same list, and all other fields are as there.
        if (first >= this.count - 1) throw new Lost('a hard link is out of range');
        if (this.dropped) throw new Lost('hard links in a file list too long to be held');
        const at = this.starts[first]!;
        this.mode = this.staging.readUInt16LE(at + 6);
        this.keep(name, this.staging.readUIntLE(at, 6), this.mode);
        return;
      }
    }
    let size = protocol < 30 ? yield* longint() : yield* varlong(3);
    if ((xflags & flags.sameTime) === 0) {
      if (protocol < 30) yield 4;
      else yield* varlong(4);
    }
    if ((xflags & flags.modNsec) !== 0) yield* varint();
    if (letters.has('N') && (xflags & flags.crtimeIsMtime) === 0) yield* varlong(4);
    if ((xflags & flags.sameMode) === 0) this.mode = (yield 4).readUInt32LE(0);
    const { mode } = this;
    const type = fileType(mode);
    if (letters.has('U') && type !== 'directory' && (xflags & flags.sameAtime) === 0) yield* varlong(4);
    for (const [letter, same, named] of [
      ['o', flags.sameUid, flags.userName],
      ['g', flags.sameGid, flags.groupName],
    ] as const) {
      if (!letters.has(letter) || (xflags & same) !== 0) continue;
      if (protocol < 30) {
        yield 4;
      } else {
        yield* varint();
        if ((xflags & named) !== 0) yield skip((yield 1)[0]!);
      }
    }
    const devices = letters.has('D');
    const specials = (devices && !long.has('--no-specials')) || long.has('--specials');
    if ((devices && type === 'device') || (specials && type === 'special' && protocol < 31)) {
      if (protocol < 28) {
        if ((xflags & flags.sameRdevOld) === 0) yield 4;
      } else {
        if ((xflags & flags.sameRdevMajor) === 0) yield* protocol < 30 ? int32() : varint();
        if (protocol >= 30) yield* varint();
        else yield (xflags & flags.rdevMinor8Old) !== 0 ? 1 : 4;
      }
      size = 0;
    }
    if (letters.has('l') && type === 'link') {
      const length = protocol < 30 ? yield* int32() : yield* varint();
      if (length < 0 || length >= MAX_PATH_BYTES) throw new Lost('a link is too long');
      yield skip(length);
    }
    if (letters.has('H') && protocol < 30 && ((xflags & flags.hardLinked) !== 0 || (protocol < 28 && type === 'file'))) {
      if ((xflags & flags.sameDevOld) === 0 || protocol < 28) yield* longint();
      yield* longint();
    }
    if (letters.has('c') && (type === 'file' || protocol < 28)) yield skip(this.format.checksumBytes);
    this.keep(name, size, mode);
  }

  private *readIds(): Reading {
    const { protocol, id0Names } = this.format;
    if (this.args.long.has('--numeric-ids')) return;
    for (const letter of ['o', 'g']) {
      if (!this.args.letters.has(letter)) continue;
      while ((protocol < 30 ? yield* int32() : yield* varint()) !== 0) yield skip((yield 1)[0]!);
      if (id0Names) yield skip((yield 1)[0]!);
    }
  }

  private keep(name: Buffer, size: number, mode: number): void {
    if (this.dropped) return;
    const key = keyOf(name, fileType(mode) === 'directory', this.format.protocol >= 29);
    if (this.starts.length === 0) this.prefix = this.listsRead > 0 ? ownCopy(key.subarray(0, lastPart(key))) : Buffer.alloc(0);
    const shared = this.prefix.length;
    // Every list but the first belongs to a single directory.
    if (shared > 0 && (key.length < shared || key.compare(this.prefix, 0, shared, 0, shared) !== 0))
      throw new Lost('a list is of several directories');
    const end = this.staged + RECORD_HEAD + key.length - shared;
    if (!this.reserve(end) || !this.budget.take(ENTRY_COST)) {
      this.drop();
      return;
    }
    this.staging.writeUIntLE(Math.min(size, 2 ** 48 - 1), this.staged, 6);
    this.staging.writeUInt16LE(mode & 0xffff, this.staged + 6);
    key.copy(this.staging, this.staged + RECORD_HEAD, shared);
    this.starts.push(this.staged);
    this.staged = end;
  }

  /** Reserves room in the staging area, which holds a list until it is complete; the list then moves into a buffer of its exact size. */
  private reserve(size: number): boolean {
    if (size <= this.staging.length) return true;
    const length = Math.max(1024, Math.ceil(size * 1.5));
    if (!this.budget.take(length - this.staging.length)) return false;
    const grown = Buffer.allocUnsafeSlow(length);
    this.staging.copy(grown, 0, 0, this.staged);
    this.staging = grown;
    return true;
  }

  private drop(): void {
    this.dropped = true;
    this.releaseStaging();
  }

  private releaseStaging(): void {
    this.budget.give(this.staging.length + ENTRY_COST * this.starts.length);
    this.starts = [];
    this.staging = Buffer.alloc(0);
    this.staged = 0;
  }

  private finishList(): void {
    const { count } = this;
    if (!this.budget.take(LIST_COST)) throw new Lost('there are too many file lists');
    const cost = this.staged + 4 * count + this.prefix.length;
    if (this.dropped || !this.budget.take(cost)) {
      this.lists.push(new FileList(this.nextStart, count, null, new Uint32Array(0), Buffer.alloc(0), LIST_COST));
    } else {
      const { staging, starts, staged } = this;
      const endOf = (i: number): number => starts[i + 1] ?? staged;
      const order = starts.map((_, i) => i);
      // With --iconv the names may sort differently at the two peers, so entries keep the order in which they were sent.
      if (!this.args.long.has('--iconv')) {
        order.sort((a, b) => staging.compare(staging, starts[b]! + RECORD_HEAD, endOf(b), starts[a]! + RECORD_HEAD, endOf(a)));
      }
      const records = Buffer.allocUnsafeSlow(staged);
      const offsets = new Uint32Array(count);
      let at = 0;
      order.forEach((from, to) => {
        offsets[to] = at;
        at += staging.copy(records, at, starts[from]!, endOf(from));
      });
      this.lists.push(new FileList(this.nextStart, count, records, offsets, this.prefix, LIST_COST + cost));
    }
    if (this.listsRead++ < 2) this.total += count;
    this.entries += count;
    // Between two lists one index is left free, for the directory of the next list.
    this.nextStart += count + 1;
    this.releaseStaging();
  }
}

/** Copies bytes outside of Node's pool of small buffers: the copy would keep a whole slab of the pool in memory. */
function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/** Where the last component of a key starts. */
function lastPart(key: Buffer): number {
  return key.length < 2 ? 0 : key.lastIndexOf(0x2f, key.length - 2) + 1;
}

function keyOf(name: Buffer, directory: boolean, typed: boolean): Buffer {
  if (!typed) return name;
  const path = name.toString('latin1');
  if (directory && path === '.') return Buffer.of(1);
  const parts = path.split('/');
  let key = '';
  parts.forEach((part, i) => {
    const last = i === parts.length - 1;
    if (last && directory && part === '.') key += '\u0001';
    else key += !last || directory ? `\u0002${part}/` : `\u0001${part}`;
  });
  return Buffer.from(key, 'latin1');
}

function nameOf(key: Buffer): string {
  if (key.length === 1 && key[0] === 1) return '.';
  if (key[0] !== 1 && key[0] !== 2) return key.toString('utf8');
  const text = key.toString('latin1').replace(/(^|\/)[\u0001\u0002]/g, '$1');
  return Buffer.from(text.length > 1 ? text.replace(/\/$/, '') : text, 'latin1').toString('utf8');
}
