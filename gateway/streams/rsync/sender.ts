/**
 * Reads the sender's stream of an rsync transfer, without its frames: filters, file list, then for every index the kind of
 * change, and for a sent file its sum head, tokens and digest (sender.c, match.c and token.c of rsync 3.5).
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { FileFact } from '#schemas/recording/line.js';
import { MAX_PATH_BYTES, Unfollowed, fileFact, plainText } from '../observing/budget.js';
import type { Budget } from '../observing/budget.js';
import { Lost, MAX_ASK, skip } from '../observing/feed.js';
import type { Reading } from '../observing/feed.js';
import type { Report } from '../observing/observer.js';
import type { Place, Places, RsyncArgs } from './args.js';
import { FileLists, fileType } from './file-list.js';
import type { Entry } from './file-list.js';
import { IndexReader, checksumBytes, compat, int32, items, ndx, varint, vstring } from './multiplex.js';

/** Settings that both sides have negotiated when the first byte of the stream arrives. */
export interface Settled {
  readonly args: RsyncArgs;
  readonly places: Places;
  readonly protocol: number;
  readonly compatFlags: number;
  /** The checksum names offered by the client and by the node, if they were exchanged. */
  readonly checksums: readonly [string?, string?];
  readonly compressions: readonly [string?, string?];
}

interface Transfer {
  readonly place: Place | null;
  readonly entry: Entry;
  readonly hash: Hash;
  size: number;
  /** The reason why there is no digest. */
  broken: string | undefined;
}

export class SenderStream {
  private readonly settle: () => Settled;
  private readonly budget: Budget;
  private readonly report: Report;
  private readonly unfollowed: Unfollowed;
  private settled: Settled | null = null;
  private lists: FileLists | null = null;
  private transfer: Transfer | null = null;
  /** Whether the stream was followed to its end. */
  complete = false;
  /** Whether a file was sent whose name was not held. */
  overlooked = false;

  /** `settle` is called when the first byte has arrived, and may throw `Lost`. */
  constructor(settle: () => Settled, budget: Budget, report: Report) {
    this.settle = settle;
    this.budget = budget;
    this.report = report;
    this.unfollowed = new Unfollowed(report, 'files of a list that is too long to be held');
  }

  /** Whether a list arrived and all lists are empty. */
  get empty(): boolean {
    return this.lists !== null && this.lists.entries === 0 && this.lists.open > 0;
  }

  /** Ends the stream: reports an unfinished transfer and frees the lists. */
  end(): void {
    if (this.transfer !== null) this.reportTransfer(this.transfer, 'unfinished');
    this.transfer = null;
    this.lists = null;
    this.unfollowed.end();
  }

  *read(): Reading {
    // By the first byte, negotiation is complete.
    yield 'next';
    const settled = this.settle();
    this.settled = settled;
    const { args, protocol, compatFlags: flags } = settled;
    const incRecurse = (flags & compat.incRecurse) !== 0;
    const lists = new FileLists(
      args,
      {
        protocol,
        varintFlags: (flags & compat.varintFlags) !== 0,
        safeList: (flags & compat.safeList) !== 0 || protocol >= 31,
        incRecurse,
        id0Names: (flags & compat.id0Names) !== 0,
        checksumBytes: digestBytes(settled, true),
      },
      this.budget,
    );
    this.lists = lists;
    const indexes = new IndexReader(protocol);
    const digest = digestBytes(settled, false);
    const compression = compressionOf(settled);
    const lastPhase = protocol >= 29 ? 2 : 1;
    if (receiverFilters(args, protocol)) yield* skipFilters();
    yield* lists.readList();
    for (let phase = 0; ;) {
      const index = yield* indexes.read();
      if (index === ndx.done) {
        if (incRecurse) lists.freeFirst();
        if (incRecurse && lists.open > 0) continue;
        if (++phase > lastPhase) break;
      } else if (index === ndx.deleteStats) {
        for (let i = 0; i < 5; i++) yield* varint();
      } else if (index === ndx.listEnd) {
        continue;
      } else if (index <= ndx.listOffset) {
        if (!incRecurse) throw new Lost('a list out of place');
        yield* lists.readList();
      } else if (index < 0) {
        throw new Lost('a file index is unknown');
      } else {
        yield* this.readItem(settled, lists, index, digest, compression);
      }
    }
    this.complete = true;
    if (args.sender && isDry(args)) {
      this.report(
        fileFact({ protocol: 'rsync', operation: 'list', path: rootOf(args), outcome: 'success', note: `${lists.entries} entries` }),
      );
    }
    // Skip statistics and final messages.
    for (;;) yield skip(Number.MAX_SAFE_INTEGER);
  }

  private *readItem({ args, protocol }: Settled, lists: FileLists, index: number, digest: number, compression: string | null): Reading {
    const flags = protocol >= 29 ? (yield 2).readUInt16LE(0) : items.transfer;
    if ((flags & items.basisFollows) !== 0) yield 1;
    const linked = (flags & items.nameFollows) !== 0 ? yield* vstring(MAX_PATH_BYTES) : '';
    const entry = lists.find(index);
    if ((flags & items.transfer) === 0) {
      const directory = entry === null ? lists.findDirectory(index) : null;
      if ((flags & items.isNew) === 0) return;
      if (directory !== null) this.reportCreated({ name: directory, size: 0, mode: 0o040000 }, '');
      else if (entry !== null && entry !== 'dropped') this.reportCreated(entry, (flags & items.localChange) !== 0 ? linked : '');
      return;
    }
    if (entry === null) throw new Lost('a file index is out of range');
    if (isDry(args)) return;
    const head = yield 16;
    const blocks = head.readInt32LE(0);
    const blockLength = head.readInt32LE(4);
    const remainder = head.readInt32LE(12);
    if (blocks < 0 || blockLength < 0 || remainder < 0) throw new Lost('a sum head is malformed');
    const transfer: Transfer = {
      entry: entry === 'dropped' ? { name: '', size: 0, mode: 0 } : entry,
      place: entry === 'dropped' ? null : this.placeOf(entry),
      hash: createHash('sha256'),
      size: 0,
      broken: undefined,
    };
    this.transfer = transfer;
    if (entry === 'dropped') this.overlooked = true;
    if (blocks > 0 && args.long.has('--append')) {
      transfer.broken = 'appended to the existing file';
      transfer.size = blocks * blockLength - (remainder > 0 ? blockLength - remainder : 0);
    }
    if (compression === null) yield* readTokens(transfer, blocks, blockLength, remainder);
    else yield* readCompressedTokens(transfer, compression);
    yield skip(digest);
    this.transfer = null;
    this.reportTransfer(transfer, 'success');
  }

  private reportTransfer(transfer: Transfer, outcome: FileFact['outcome']): void {
    const { entry, place, broken } = transfer;
    if (place === null) {
      this.unfollowed.add();
      return;
    }
    const notes = [outcome === 'unfinished' ? `${transfer.size} of ${entry.size} bytes` : undefined, broken, place.note].filter(
      (note) => note !== undefined,
    );
    this.report(
      fileFact({
        protocol: 'rsync',
        operation: this.operation,
        path: place.path,
        size: transfer.size,
        mode: entry.mode & 0o7777,
        sha256: broken === undefined && outcome === 'success' ? transfer.hash.digest('hex') : undefined,
        outcome,
        note: notes.length > 0 ? notes.join('; ') : undefined,
      }),
    );
  }

  /** Reports a directory or link that the receiver created without content from the sender. */
  private reportCreated(entry: Entry, linked: string): void {
    if (this.settled!.args.sender) return;
    const type = fileType(entry.mode);
    const operation = linked !== '' ? 'link' : type === 'directory' ? 'mkdir' : type === 'link' ? 'symlink' : 'create';
    this.report(
      fileFact({
        protocol: 'rsync',
        operation,
        ...this.placeOf(entry),
        mode: entry.mode & 0o7777 || undefined,
        outcome: 'success',
        target: linked === '' ? undefined : this.settled!.places.of(linked, false).path,
      }),
    );
  }

  private placeOf(entry: Entry): Place {
    return this.settled!.places.of(entry.name, this.lists?.total === 1 && fileType(entry.mode) === 'file');
  }

  /** Called when the sender reports, in a message outside of its stream, that it could not open a file. */
  notSent(index: number): void {
    const entry = this.lists?.find(index);
    if (entry === null || entry === undefined || entry === 'dropped') return;
    this.report(
      fileFact({
        protocol: 'rsync',
        operation: this.operation,
        ...this.placeOf(entry),
        outcome: 'failure',
        note: 'the sender could not read it',
      }),
    );
  }

  private get operation(): 'read' | 'write' {
    return this.settled?.args.sender === true ? 'read' : 'write';
  }
}

/** Whether the peers exchange names of checksums and compression methods. */
export function negotiates(compatFlags: number): boolean {
  return (compatFlags & compat.varintFlags) !== 0;
}

/** Whether names are only listed and compared, without sending content. */
function isDry({ letters, long }: RsyncArgs): boolean {
  return letters.has('n') || long.has('--list-only');
}

/** The paths of the command, for facts that concern no single file. */
export function rootOf({ paths }: RsyncArgs): string {
  return paths.join(' ').slice(0, MAX_PATH_BYTES);
}

/** Literal runs and references to blocks of the receiver's old file, up to a zero. */
function* readTokens(transfer: Transfer, blocks: number, blockLength: number, remainder: number): Reading {
  const literal = (slice: Buffer): void => {
    if (transfer.broken === undefined) transfer.hash.update(slice);
    transfer.size += slice.length;
  };
  for (;;) {
    const token = (yield 4).readInt32LE(0);
    if (token === 0) return;
    if (token > 0) {
      yield { length: token, to: literal };
    } else {
      const block = -(token + 1);
      if (block >= blocks) throw new Lost('a block is out of range');
      transfer.broken ??= 'blocks of the old file were used';
      transfer.size += block === blocks - 1 && remainder > 0 ? remainder : blockLength;
    }
  }
}

/** Reads compressed tokens, which all methods frame in the same way: runs of compressed bytes, and references to blocks. */
function* readCompressedTokens(transfer: Transfer, compression: string): Reading {
  transfer.broken = `compressed with ${compression}: the content was not unpacked`;
  transfer.size = transfer.entry.size;
  for (;;) {
    const flag = (yield 1)[0]!;
    if (flag === 0) return;
    if ((flag & 0xc0) === 0x40) {
      yield skip(((flag & 0x3f) << 8) + (yield 1)[0]!);
      continue;
    }
    if (flag === 0x20 || flag === 0x21) yield 4;
    else if (flag < 0x80) throw new Lost('a token is unknown');
    if (flag === 0x21 || flag >= 0xc0) yield 2;
  }
}

function digestBytes({ args, protocol, compatFlags, checksums }: Settled, ofList: boolean): number {
  const choice = args.long.get('--checksum-choice');
  let name = protocol >= 30 ? 'md5' : 'md4';
  if (choice !== undefined) name = choice.split(',')[ofList && choice.includes(',') ? 1 : 0]!;
  else if (negotiates(compatFlags)) name = agreed(checksums) ?? '';
  const bytes = Object.hasOwn(checksumBytes, name) ? checksumBytes[name] : undefined;
  if (bytes === undefined) throw new Lost(`the checksum ${plainText(name)} is unknown`);
  return bytes;
}

/** `null` if the stream is not compressed. */
function compressionOf({ args, compatFlags, compressions }: Settled): string | null {
  const { letters, long } = args;
  const chosen = long.get('--compress-choice') ?? (long.has('--new-compress') ? 'zlibx' : long.has('--old-compress') ? 'zlib' : undefined);
  if (chosen === undefined && !letters.has('z')) return null;
  // Level 0 disables some methods but not others.
  if (long.get('--compress-level') === '0') throw new Lost('compression has level 0');
  const name = chosen ?? (negotiates(compatFlags) ? agreed(compressions) : 'zlib');
  if (name === undefined) throw new Lost('no compression was agreed on');
  return name === 'none' ? null : plainText(name);
}

/** Whether the client, as sender, sends filters that protect files on the node. */
function receiverFilters({ sender, letters, long }: RsyncArgs, protocol: number): boolean {
  if (protocol < 29 && long.has('--delete-excluded')) return !sender && letters.has('m');
  return (
    !sender && (letters.has('m') || [...long.keys()].some((name) => /^--delete(-before|-during|-delay|-after|-excluded)?$/.test(name)))
  );
}

function* skipFilters(): Reading {
  for (let length = yield* int32(); length !== 0; length = yield* int32()) {
    if (length < 0 || length > MAX_ASK) throw new Lost('a filter is too long');
    yield skip(length);
  }
}

/** The negotiated name: both sides list the names they support, best first; the first of the client's that the node also lists is used. */
function agreed([client, node]: readonly [string?, string?]): string | undefined {
  const known = new Set((node ?? '').split(' '));
  return (client ?? '').split(' ').find((name) => name !== '' && known.has(name));
}
