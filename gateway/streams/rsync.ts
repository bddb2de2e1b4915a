/**
 * Observer of rsync over ssh (`rsync --server`), wire protocol 27 to 32 as rsync 2.6 to 3.5 speak it, in both
 * directions, with incremental recursion. There is no specification; this follows rsync's own sources.
 *
 * ```
 *   each way   [-s: arguments, client only]  version  [node: compat flags]  [checksum and compression names]  [node: seed]
 *   then       frames (tag, length) of the stream below and of messages; before protocol 30 the client's are bare
 *   sender     [filters]  file list  ( index, what changed, [sum head, tokens, digest] | further list | done )*
 * ```
 * A file has a digest when all of it passed as literal bytes. It has none, and a note, where blocks of the old file
 * were used, where it was appended to, and where the stream is compressed (then the size is that of the file list).
 * A list of files too large for `MAX_LIST_BYTES` (about 150,000 files in one folder) leaves a gap with their count.
 * Not followed: ACLs, extended attributes, daemons and batches; one fact then names the paths of the command.
 * Success means that the sender sent all of it: whether the receiver stored it is not in the stream.
 * Tested against rsync in rsync.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { FileFact } from '#schemas/recording/line.js';
import { Budget, MAX_HELD_BYTES, MAX_LIST_BYTES, MAX_PATH_BYTES, Unfollowed, fileFact, listPool, plainText } from './budget.js';
import { Feed, Lost, MAX_ASK, skip } from './feed.js';
import type { Reading } from './feed.js';
import type { Report, StreamObserver } from './observer.js';
import { Places, parseRsyncArgs } from './rsync-args.js';
import type { Place, RsyncArgs } from './rsync-args.js';
import { FileLists, fileType } from './rsync-list.js';
import type { Entry } from './rsync-list.js';
import { IndexReader, MAX_PROTOCOL, MIN_PROTOCOL, MPLEX_BASE, checksumBytes, compat, int32, items, messages, ndx, varint, vstring } from './rsync-wire.js';

/** Messages of errors and deletions that become facts. */
const MAX_MESSAGES = 1000;
const MAX_ARGUMENTS = 4096;

/** `null` if the arguments are not those of a far end. */
export function observeRsync(args: readonly string[], report: Report): StreamObserver | null {
  const parsed = parseRsyncArgs(args);
  return parsed === null ? null : new RsyncObserver(parsed, report);
}

interface Transfer {
  readonly place: Place | null;
  readonly entry: Entry;
  readonly hash: Hash;
  size: number;
  /** Why there is no digest. */
  broken: string | undefined;
}

class RsyncObserver implements StreamObserver {
  private args: RsyncArgs;
  private places: Places;
  private readonly report: Report;
  private readonly client: Feed;
  private readonly node: Feed;
  private readonly stream: Feed;
  private readonly budget = new Budget(MAX_HELD_BYTES, MAX_LIST_BYTES, listPool);
  private readonly unfollowed: Unfollowed;
  private readonly unreportedMessages: Unfollowed;
  private reportedMessages = 0;
  private over = false;
  /** The sender's stream was followed to its end. */
  private complete = false;
  private clientVersion: number | undefined;
  private nodeVersion: number | undefined;
  private compatFlags: number | undefined;
  private readonly names: { checksum: [string?, string?]; compression: [string?, string?] } = { checksum: [], compression: [] };
  private lists: FileLists | null = null;
  private transfer: Transfer | null = null;

  constructor(args: RsyncArgs, report: Report) {
    this.args = args;
    this.places = new Places(args);
    this.report = report;
    this.unfollowed = new Unfollowed(report, 'files of a list that is too long to be held');
    this.unreportedMessages = new Unfollowed(report, `more than ${MAX_MESSAGES} messages`);
    this.client = new Feed(this.readClient(), (reason) => this.lost(reason));
    this.node = new Feed(this.readNode(), (reason) => this.lost(reason));
    this.stream = new Feed(this.readSender(), (reason) => this.lost(reason));
    const refused = args.long.has('--daemon') ? 'the daemon protocol' : unfollowedOption(args);
    if (refused !== undefined) this.lost(refused);
  }

  input(bytes: Buffer): void {
    this.client.push(bytes);
  }

  output(bytes: Buffer): void {
    this.node.push(bytes);
  }

  end(): void {
    if (this.over) return;
    if (!this.complete && this.lists?.entries === 0 && this.transfer === null) {
      this.report(fileFact({ protocol: 'rsync', operation: this.operation, path: this.root, outcome: 'failure', note: 'no file was sent' }));
    } else if (!this.complete) {
      this.lost('the stream ended early');
    }
    this.stop();
  }

  private stop(): void {
    this.over = true;
    this.client.stop();
    this.node.stop();
    this.stream.stop();
    this.lists = null;
    this.budget.release();
    this.unfollowed.end();
    this.unreportedMessages.end();
  }

  private lost(reason: string | null): void {
    if (this.over || reason === null) return;
    if (this.transfer !== null) this.reportTransfer(this.transfer, 'unfinished');
    this.transfer = null;
    this.report(fileFact({
      protocol: 'rsync', operation: this.operation, path: this.root, outcome: 'unfinished',
      note: `files not followed from here on: ${reason}`,
    }));
    this.stop();
  }

  private get operation(): 'read' | 'write' {
    return this.args.sender ? 'read' : 'write';
  }

  /** Names are listed and compared, no content is sent. */
  private get dry(): boolean {
    return this.args.letters.has('n') || this.args.long.has('--list-only');
  }

  /** The paths of the command, for what concerns no single file. */
  private get root(): string {
    return this.args.paths.join(' ').slice(0, MAX_PATH_BYTES);
  }

  private get protocol(): number {
    if (this.clientVersion === undefined || this.nodeVersion === undefined) throw new Lost('a side did not wait for the version');
    return Math.min(this.clientVersion, this.nodeVersion, MAX_PROTOCOL);
  }

  // The two sides up to where the stream proper starts.

  private *readClient(): Reading {
    if (this.args.letters.has('s')) yield* this.readArguments();
    this.clientVersion = yield* version();
    // What follows was sent when the client had the node's version and flags.
    yield 'next';
    if (this.negotiates()) yield* this.readNames(0);
    yield 'next';
    if (this.args.sender) {
      // What the receiver asks for says nothing that the sender does not answer.
      for (;;) yield skip(Number.MAX_SAFE_INTEGER);
    }
    if (this.protocol >= 30) yield* this.readFrames(true);
    else for (;;) yield { length: Number.MAX_SAFE_INTEGER, to: (slice) => this.stream.push(slice) };
  }

  private *readNode(): Reading {
    this.nodeVersion = yield* version();
    yield 'next';
    if (this.protocol < MIN_PROTOCOL) throw new Lost(`protocol ${this.protocol}`);
    if (this.protocol >= 30) {
      this.compatFlags = yield* varint();
      if (this.negotiates()) yield* this.readNames(1);
    }
    // The seed of the checksums.
    yield 4;
    yield* this.readFrames(this.args.sender);
  }

  /** `--secluded-args`: the rest of the command line, each argument ended by a zero, after a name for the program. */
  private *readArguments(): Reading {
    const words: string[] = [];
    let length = 0;
    for (;;) {
      const bytes: number[] = [];
      for (let next = (yield 1)[0]!; next !== 0; next = (yield 1)[0]!) {
        if (++length > MAX_ASK || bytes.length >= 2 * MAX_PATH_BYTES) throw new Lost('the arguments are too long');
        bytes.push(next);
      }
      if (bytes.length === 0) break;
      if (words.length >= MAX_ARGUMENTS) throw new Lost('there are too many arguments');
      words.push(Buffer.from(bytes).toString('utf8'));
    }
    const { sender, letters, long } = this.args;
    const more = parseRsyncArgs(['--server', ...words.slice(1)]);
    if (more === null) throw new Lost('the arguments are malformed');
    this.args = { sender, letters: new Set([...letters, ...more.letters]), long: new Map([...long, ...more.long]), paths: more.paths };
    this.places = new Places(this.args);
    const refused = unfollowedOption(this.args);
    if (refused !== undefined) throw new Lost(refused);
  }

  private negotiates(): boolean {
    return this.compatFlags !== undefined && (this.compatFlags & compat.varintFlags) !== 0;
  }

  private *readNames(side: 0 | 1): Reading {
    const { long } = this.args;
    if (!long.has('--checksum-choice')) this.names.checksum[side] = yield* vstring(1024);
    if (this.args.letters.has('z') && !compressionChosen(this.args)) this.names.compression[side] = yield* vstring(1024);
  }

  /** Frames of a direction: data is the sender's stream if this is the sender's direction; the rest are messages. */
  private *readFrames(data: boolean): Reading {
    for (;;) {
      const head = (yield 4).readUInt32LE(0);
      const tag = (head >>> 24) - MPLEX_BASE;
      const length = head & 0xff_ffff;
      if (tag < 0) throw new Lost('a frame has no tag');
      if (tag === messages.data) {
        if (data) yield { length, to: (slice) => this.stream.push(slice) };
        else yield skip(length);
      } else if (tag === messages.noSend && length === 4) {
        this.notSent((yield 4).readInt32LE(0));
      } else if ((tag === messages.errorTransfer || tag === messages.error || tag === messages.deleted) && length <= MAX_ASK) {
        this.message(tag, (yield length).toString('utf8'));
      } else {
        yield skip(length);
      }
    }
  }

  private message(tag: number, text: string): void {
    if (this.reportedMessages++ >= MAX_MESSAGES) {
      this.unreportedMessages.add();
    } else if (tag === messages.deleted) {
      // A directory's name comes with its closing zero.
      const name = text.replace(/\0$/, '');
      this.report(fileFact({ protocol: 'rsync', operation: text === name ? 'remove' : 'rmdir', ...this.places.of(name, false), outcome: 'success' }));
    } else {
      const path = /"([^"]+)"/.exec(text)?.[1] ?? this.root;
      this.report(fileFact({ protocol: 'rsync', operation: this.operation, path: path.slice(0, MAX_PATH_BYTES), outcome: 'failure', note: plainText(text) }));
    }
  }

  private notSent(index: number): void {
    const entry = this.lists?.find(index);
    if (entry === null || entry === undefined || entry === 'dropped') return;
    this.report(fileFact({ protocol: 'rsync', operation: this.operation, ...this.placeOf(entry), outcome: 'failure', note: 'the sender could not read it' }));
  }

  // The sender's stream.

  private *readSender(): Reading {
    // When there is a byte, all is negotiated.
    yield 'next';
    const { args, protocol } = this;
    const flags = this.compatFlags ?? 0;
    const lists = new FileLists(args, {
      protocol, varintFlags: (flags & compat.varintFlags) !== 0, safeList: (flags & compat.safeList) !== 0 || protocol >= 31,
      incRecurse: this.incRecurse, id0Names: (flags & compat.id0Names) !== 0, checksumBytes: this.digestBytes(true),
    }, this.budget);
    this.lists = lists;
    const indexes = new IndexReader(protocol);
    const digest = this.digestBytes(false);
    const compression = this.compression();
    const lastPhase = protocol >= 29 ? 2 : 1;
    if (receiverFilters(args)) yield* skipFilters();
    yield* lists.readList();
    for (let phase = 0; ;) {
      const index = yield* indexes.read();
      if (index === ndx.done) {
        if (this.incRecurse) lists.freeFirst();
        if (this.incRecurse && lists.open > 0) continue;
        if (++phase > lastPhase) break;
      } else if (index === ndx.deleteStats) {
        for (let i = 0; i < 5; i++) yield* varint();
      } else if (index === ndx.listEnd) {
        continue;
      } else if (index <= ndx.listOffset) {
        if (!this.incRecurse) throw new Lost('a list out of place');
        yield* lists.readList();
      } else if (index < 0) {
        throw new Lost('a file index is unknown');
      } else {
        yield* this.readItem(lists, index, digest, compression);
      }
    }
    this.complete = true;
    if (args.sender && this.dry) {
      this.report(fileFact({ protocol: 'rsync', operation: 'list', path: this.root, outcome: 'success', note: `${lists.entries} entries` }));
    }
    // Statistics and farewells.
    for (;;) yield skip(Number.MAX_SAFE_INTEGER);
  }

  private get incRecurse(): boolean {
    return ((this.compatFlags ?? 0) & compat.incRecurse) !== 0;
  }

  private *readItem(lists: FileLists, index: number, digest: number, compression: string | null): Reading {
    const flags = this.protocol >= 29 ? (yield 2).readUInt16LE(0) : items.transfer;
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
    if (this.dry) return;
    const head = yield 16;
    const blocks = head.readInt32LE(0);
    const blockLength = head.readInt32LE(4);
    const remainder = head.readInt32LE(12);
    if (blocks < 0 || blockLength < 0 || remainder < 0) throw new Lost('a sum head is malformed');
    const transfer: Transfer = {
      entry: entry === 'dropped' ? { name: '', size: 0, mode: 0 } : entry, place: entry === 'dropped' ? null : this.placeOf(entry),
      hash: createHash('sha256'), size: 0, broken: undefined,
    };
    this.transfer = transfer;
    if (blocks > 0 && this.args.long.has('--append')) {
      transfer.broken = 'appended to what was there';
      transfer.size = blocks * blockLength - (remainder > 0 ? blockLength - remainder : 0);
    }
    if (compression === null) yield* readTokens(transfer, blocks, blockLength, remainder);
    else yield* this.readCompressedTokens(transfer, compression);
    yield skip(digest);
    this.transfer = null;
    this.reportTransfer(transfer, 'success');
  }

  private *readCompressedTokens(transfer: Transfer, compression: string): Reading {
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

  private reportTransfer(transfer: Transfer, outcome: FileFact['outcome']): void {
    const { entry, place, broken } = transfer;
    if (place === null) {
      this.unfollowed.add();
      return;
    }
    const notes = [outcome === 'unfinished' ? `${transfer.size} of ${entry.size} bytes` : undefined, broken, place.note].filter((note) => note !== undefined);
    this.report(fileFact({
      protocol: 'rsync', operation: this.operation, path: place.path, size: transfer.size, mode: entry.mode & 0o7777,
      sha256: broken === undefined && outcome === 'success' ? transfer.hash.digest('hex') : undefined,
      outcome, note: notes.length > 0 ? notes.join('; ') : undefined,
    }));
  }

  /** Directories and links that the receiver made by itself. */
  private reportCreated(entry: Entry, linked: string): void {
    if (this.args.sender) return;
    const type = fileType(entry.mode);
    const operation = linked !== '' ? 'link' : type === 'directory' ? 'mkdir' : type === 'link' ? 'symlink' : 'create';
    this.report(fileFact({
      protocol: 'rsync', operation, ...this.placeOf(entry), mode: entry.mode & 0o7777 || undefined, outcome: 'success',
      target: linked === '' ? undefined : this.places.of(linked, false).path,
    }));
  }

  private placeOf(entry: Entry): Place {
    return this.places.of(entry.name, this.lists?.total === 1 && fileType(entry.mode) === 'file');
  }

  private digestBytes(ofList: boolean): number {
    const choice = this.args.long.get('--checksum-choice');
    let name = this.protocol >= 30 ? 'md5' : 'md4';
    if (choice !== undefined) name = choice.split(',')[ofList && choice.includes(',') ? 1 : 0]!;
    else if (this.negotiates()) name = agreed(this.names.checksum) ?? '';
    const bytes = Object.hasOwn(checksumBytes, name) ? checksumBytes[name] : undefined;
    if (bytes === undefined) throw new Lost(`the checksum ${plainText(name)} is unknown`);
    return bytes;
  }

  /** `null` if the stream is not compressed. */
  private compression(): string | null {
    const { letters, long } = this.args;
    const chosen = long.get('--compress-choice') ?? (long.has('--new-compress') ? 'zlibx' : long.has('--old-compress') ? 'zlib' : undefined);
    if (chosen === undefined && !letters.has('z')) return null;
    // Level 0 turns some methods off and not others.
    if (long.get('--compress-level') === '0') throw new Lost('compression has level 0');
    const name = chosen ?? (this.negotiates() ? agreed(this.names.compression) : 'zlib');
    if (name === undefined) throw new Lost('no compression was agreed on');
    return name === 'none' ? null : plainText(name);
  }
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

/** Whether the client, as sender, tells the node what to leave alone. */
function receiverFilters({ sender, letters, long }: RsyncArgs): boolean {
  return !sender && (letters.has('m') || [...long.keys()].some((name) => /^--delete(-before|-during|-delay|-after|-excluded)?$/.test(name)));
}

function* skipFilters(): Reading {
  for (let length = yield* int32(); length !== 0; length = yield* int32()) {
    if (length < 0 || length > MAX_ASK) throw new Lost('a filter is too long');
    yield skip(length);
  }
}

function* version(): Reading<number> {
  const value = yield* int32();
  if (value < 20 || value > 255) throw new Lost('there is no protocol version');
  return value;
}

function compressionChosen({ long }: RsyncArgs): boolean {
  return long.has('--compress-choice') || long.has('--new-compress') || long.has('--old-compress');
}

function unfollowedOption({ letters, long }: RsyncArgs): string | undefined {
  if (letters.has('A')) return 'ACLs are sent along';
  if (letters.has('X')) return 'extended attributes are sent along';
  if (long.has('--only-write-batch')) return 'a batch is written';
  return undefined;
}

/** Both sides list what they know, best first, in the same order: the client's first that the node knows too. */
function agreed([client, node]: [string?, string?]): string | undefined {
  const known = new Set((node ?? '').split(' '));
  return (client ?? '').split(' ').find((name) => name !== '' && known.has(name));
}
