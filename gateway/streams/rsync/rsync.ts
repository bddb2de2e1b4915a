/**
 * Observer of rsync over ssh (`rsync --server`), wire protocols 27 to 32 of rsync 2.6 to 3.5, in both
 * directions, with incremental recursion. There is no specification; this follows rsync's own sources.
 *
 * ```
 *   each way   [-s: arguments, client only]  version  [node: compat flags]  [checksum and compression names]  [node: seed]
 *   then       frames (tag, length) of the stream below and of messages; before protocol 30 the client's are bare
 *   sender     [filters]  file list  ( index, what changed, [sum head, tokens, digest] | further list | done )*
 * ```
 * A file has a digest if all of it passed as literal bytes. It has a note instead if blocks of the old file were used, if
 * it was appended to, or if the stream is compressed (then the size is that of the file list).
 * A list of files too large for `MAX_LIST_BYTES` (about 150,000 files in one folder) leaves a gap with their count.
 * Not followed: ACLs, extended attributes, daemons and batches; one fact then names the paths of the command.
 * Success means that the sender sent the whole file; the stream does not tell whether the receiver stored it.
 * Tested against rsync in rsync.test.ts.
 */
import { Budget, MAX_HELD_BYTES, MAX_LIST_BYTES, MAX_PATH_BYTES, Unfollowed, fileFact, listPool, plainText } from '../observing/budget.js';
import { Feed, Lost, MAX_ASK, skip } from '../observing/feed.js';
import type { Reading } from '../observing/feed.js';
import type { Follows, Report, StreamObserver } from '../observing/observer.js';
import { Places, parseRsyncArgs } from './args.js';
import type { RsyncArgs } from './args.js';
import { SenderStream, negotiates, rootOf } from './sender.js';
import type { Settled } from './sender.js';
import { MAX_PROTOCOL, MIN_PROTOCOL, MPLEX_BASE, int32, messages, varint, vstring } from './multiplex.js';

/** Most messages about errors and deletions that become facts. */
const MAX_MESSAGES = 1000;
const MAX_ARGUMENTS = 4096;

/** `null` if the arguments are not those of rsync's far end. */
export function observeRsync(args: readonly string[], report: Report): StreamObserver | null {
  const parsed = parseRsyncArgs(args);
  return parsed === null ? null : new RsyncObserver(parsed, report);
}

class RsyncObserver implements StreamObserver {
  private args: RsyncArgs;
  private places: Places;
  private readonly report: Report;
  private readonly client: Feed;
  private readonly node: Feed;
  private readonly stream: Feed;
  private readonly budget = new Budget(MAX_HELD_BYTES, MAX_LIST_BYTES, listPool);
  private readonly sender: SenderStream;
  private readonly unreportedMessages: Unfollowed;
  private reportedMessages = 0;
  private over = false;
  private clientVersion: number | undefined;
  private nodeVersion: number | undefined;
  private compatFlags = 0;
  private readonly names: { checksum: [string?, string?]; compression: [string?, string?] } = { checksum: [], compression: [] };

  constructor(args: RsyncArgs, report: Report) {
    this.args = args;
    this.places = new Places(args);
    this.report = report;
    this.sender = new SenderStream(() => this.settled(), this.budget, report);
    this.unreportedMessages = new Unfollowed(report, `more than ${MAX_MESSAGES} messages`);
    this.client = new Feed(this.readClient(), (reason) => this.lost(reason));
    this.node = new Feed(this.readNode(), (reason) => this.lost(reason));
    this.stream = new Feed(this.sender.read(), (reason) => this.lost(reason));
    const refused = args.long.has('--daemon') ? 'the daemon protocol' : unfollowedOption(args);
    if (refused !== undefined) this.lost(refused);
  }

  /** The direction of the files. Neither the other direction nor data after the files is read. */
  get follows(): Follows {
    return this.over || this.sender.complete || this.sender.overlooked ? 'neither' : this.args.sender ? 'out' : 'in';
  }

  input(bytes: Buffer): void {
    this.client.push(bytes);
  }

  output(bytes: Buffer): void {
    this.node.push(bytes);
  }

  end(): void {
    if (this.over) return;
    if (!this.sender.complete && this.sender.empty) {
      this.report(
        fileFact({ protocol: 'rsync', operation: this.operation, path: rootOf(this.args), outcome: 'failure', note: 'no file was sent' }),
      );
    } else if (!this.sender.complete) {
      this.lost('the stream ended early');
    }
    this.stop();
  }

  private stop(): void {
    this.over = true;
    this.client.stop();
    this.node.stop();
    this.stream.stop();
    this.sender.end();
    this.budget.release();
    this.unreportedMessages.end();
  }

  private lost(reason: string | null): void {
    if (this.over || reason === null) return;
    this.sender.end();
    this.report(
      fileFact({
        protocol: 'rsync',
        operation: this.operation,
        path: rootOf(this.args),
        outcome: 'unfinished',
        note: `files not followed from here on: ${reason}`,
      }),
    );
    this.stop();
  }

  private get operation(): 'read' | 'write' {
    return this.args.sender ? 'read' : 'write';
  }

  private get protocol(): number {
    if (this.clientVersion === undefined || this.nodeVersion === undefined) throw new Lost('a side did not wait for the version');
    return Math.min(this.clientVersion, this.nodeVersion, MAX_PROTOCOL);
  }

  // Both directions, up to the start of the stream proper.

  private *readClient(): Reading {
    if (this.args.letters.has('s')) yield* this.readArguments();
    this.clientVersion = yield* version();
    // By the next byte, the client has received the node's version and flags.
    yield 'next';
    if (negotiates(this.compatFlags)) yield* this.readNames(0);
    yield 'next';
    if (this.args.sender) {
      // The receiver's requests add nothing to the sender's answers.
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
      if (negotiates(this.compatFlags)) yield* this.readNames(1);
    }
    // The seed of the checksums.
    yield 4;
    yield* this.readFrames(this.args.sender);
  }

  /** `--secluded-args`: a name for the program, then the rest of the command line, each argument terminated by a zero byte. */
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

  private settled(): Settled {
    const { args, places, protocol } = this;
    return { args, places, protocol, compatFlags: this.compatFlags, checksums: this.names.checksum, compressions: this.names.compression };
  }

  private *readNames(side: 0 | 1): Reading {
    const { long } = this.args;
    if (!long.has('--checksum-choice')) this.names.checksum[side] = yield* vstring(1024);
    if (this.args.letters.has('z') && !compressionChosen(this.args)) this.names.compression[side] = yield* vstring(1024);
  }

  /** Reads the frames of a direction: `data` frames are the sender's stream if this is the sender's direction; other frames are messages. */
  private *readFrames(data: boolean): Reading {
    for (;;) {
      const head = (yield 4).readUInt32LE(0);
      const tag = (head >>> 24) - MPLEX_BASE;
      const length = head & 0xff_ffff;
      if (tag < 0) throw new Lost('a frame has an invalid tag');
      if (tag === messages.data) {
        if (data) yield { length, to: (slice) => this.stream.push(slice) };
        else yield skip(length);
      } else if (tag === messages.noSend && length === 4) {
        this.sender.notSent((yield 4).readInt32LE(0));
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
      // A directory's name includes its terminating zero.
      const name = text.replace(/\0$/, '');
      this.report(
        fileFact({ protocol: 'rsync', operation: text === name ? 'remove' : 'rmdir', ...this.places.of(name, false), outcome: 'success' }),
      );
    } else {
      const path = /"([^"]+)"/.exec(text)?.[1] ?? rootOf(this.args);
      this.report(
        fileFact({
          protocol: 'rsync',
          operation: this.operation,
          path: path.slice(0, MAX_PATH_BYTES),
          outcome: 'failure',
          note: plainText(text),
        }),
      );
    }
  }
}

function* version(): Reading<number> {
  const value = yield* int32();
  if (value < 20 || value > 255) throw new Lost('the protocol version is impossible');
  return value;
}

function compressionChosen({ long }: RsyncArgs): boolean {
  return long.has('--compress-choice') || long.has('--new-compress') || long.has('--old-compress');
}

function unfollowedOption({ letters, long }: RsyncArgs): string | undefined {
  if (letters.has('A')) return 'ACLs are transferred too';
  if (letters.has('X')) return 'extended attributes are transferred too';
  if (long.has('--only-write-batch')) return 'a batch is written';
  return undefined;
}
