/**
 * Sends a recording or an event log to ingest: a cursor over the spooled lines that turns them into blocks and checkpoints.
 *
 * In live operation, blocks are taken as the log has just cut them. After a reconnect, or when ingest is slow, the cursor is
 * behind and cuts the file again, so a ten-minute outage of ingest costs disk and no memory. Checkpoints come from the
 * journal, and only after they are fsynced. Tested in spool.test.ts and recorder/signed-log.test.ts.
 */
import type { Draft, OutgoingFrame, SessionSource } from '#runtime/uplink/source.js';
import { BLOCK_MAX_BYTES, cutBlocks } from '#schemas/recording/block.js';
import { chainStart } from '#schemas/recording/chain.js';
import { MAX_EVENT_LINE_BYTES } from '#schemas/recording/line.js';
import type { Stream } from '#schemas/recording/line.js';
import { MAX_DRAFT_BYTES } from '#schemas/uplink.js';
import type { CutBlock, SignedLog } from './signed-log.js';
import { nextHead, sha256 } from './signed-log.js';
import { readRecords } from './journal.js';
import type { PartRecord } from './journal.js';

export interface SenderEnds {
  /** Everything is durable at ingest, so the session's files may be removed. */
  readonly finished: () => void;
  readonly refused: (code: string, detail: string) => void;
  /** Everything before this line offset is durable at ingest. */
  readonly stored: (bytes: number) => void;
}

interface SentCheckpoint {
  readonly block: number;
  readonly bytes: number;
}

/** Starting a new file is not worth it when fewer stored bytes than this could be freed. */
const RELIEF_BYTES = 64 << 10;
/** Room for one whole block and the start of the line after it. */
const window = Buffer.allocUnsafeSlow(2 * BLOCK_MAX_BYTES);
/** The same for event logs, whose lines may be longer than a block; allocated when a log has to be cut again. */
let wideWindow: Buffer | null = null;

export class Sender implements SessionSource {
  readonly #log: SignedLog;
  readonly #ends: SenderEnds;
  #n = 0;
  #at = 0;
  #bytes = 0;
  #head: string;
  #journalAt = 0;
  #ahead: { readonly record: PartRecord; readonly end: number } | null = null;
  #unstored: SentCheckpoint[] | null = null;
  #stored = 0;
  #storedBytes = 0;
  /** The block of an event log for which a draft was last requested. */
  #asked = 0;

  constructor(log: SignedLog, ends: SenderEnds) {
    this.#log = log;
    this.#ends = ends;
    this.#head = startOf(log);
  }

  get session(): string {
    return this.#log.files.session;
  }

  get stream(): Stream {
    return this.#log.files.stream;
  }

  seek(stored: number): boolean {
    const { files } = this.#log;
    let found: { n: number; at: number; bytes: number; head: string; journalAt: number } | null =
      stored === 0 ? { n: 0, at: 0, bytes: 0, head: startOf(this.#log), journalAt: 0 } : null;
    this.#unstored = null;
    if (stored > 0) {
      for (const { record, end } of readRecords(files.readJournal())) {
        if (record.kind !== 'part' || record.checkpoint.block !== stored) continue;
        const { block, at, bytes, head } = record.checkpoint;
        found = { n: block, at, bytes, head, journalAt: end };
        // Two checkpoints may end at the same block: an open one and the last. If the last were stored, ingest would have
        // said `closed`.
        break;
      }
    }
    if (found === null || found.bytes < files.first) return false;
    this.#n = found.n;
    this.#at = found.at;
    this.#bytes = found.bytes;
    this.#head = found.head;
    this.#journalAt = found.journalAt;
    this.#ahead = null;
    if (stored > this.#stored) this.#noteStored(stored, found.bytes);
    return true;
  }

  next(): OutgoingFrame | null {
    const log = this.#log;
    this.#lookAhead();
    if (this.#ahead !== null && this.#ahead.record.checkpoint.block === this.#n) {
      const { record, end } = this.#ahead;
      if (end > log.files.journalSynced) return null;
      this.#ahead = null;
      (this.#unstored ??= []).push({ block: record.checkpoint.block, bytes: record.checkpoint.bytes });
      return { kind: 'checkpoint', part: record.part, checkpoint: record.checkpoint };
    }
    if (this.#n >= log.n) return null;
    const recent = log.recent?.find(({ n }) => n === this.#n + 1);
    return recent === undefined ? this.#recut() : this.#take(recent);
  }

  draft(n: number, to: number): Draft | null {
    const log = this.#log;
    if (this.#n < log.n || log.ended) return null;
    // A busy log cuts its block before a second request comes, so the block itself arrives as soon as a draft would.
    if (this.stream === 'events' && this.#asked !== log.n + 1) {
      this.#asked = log.n + 1;
      return null;
    }
    const from = n === log.n + 1 ? to : 0;
    const length = log.files.size - log.bytes - from;
    // A longer rest is a block that could not be cut, or that the next line will cut.
    if (length <= 0 || from + length > MAX_DRAFT_BYTES) return null;
    const bytes = Buffer.allocUnsafe(length);
    return { n: log.n + 1, from, bytes: bytes.subarray(0, log.files.read(log.bytes + from, bytes, length)) };
  }

  acknowledged(stored: number, closed: boolean): void {
    if (closed) {
      // 1. the journal says so, 2. the files are removed (SessionFiles.remove).
      this.#note(stored, true);
      this.#ends.finished();
      return;
    }
    let bytes = -1;
    while (this.#unstored !== null && this.#unstored.length > 0 && this.#unstored[0]!.block <= stored)
      bytes = this.#unstored.shift()!.bytes;
    if (this.#unstored?.length === 0) this.#unstored = null;
    if (bytes >= 0 && stored > this.#stored) this.#noteStored(stored, bytes);
  }

  /** Room is scarce: starts a new file if ingest has stored most of the current one, so that it can be freed. */
  relieve(): void {
    const { files } = this.#log;
    if (this.#storedBytes - files.first < RELIEF_BYTES) return;
    files.rotate();
    files.release(this.#storedBytes);
  }

  refused(code: string, detail: string): void {
    this.#ends.refused(code, detail);
  }

  #noteStored(stored: number, bytes: number): void {
    this.#stored = stored;
    this.#storedBytes = bytes;
    this.#note(stored, false);
    this.#log.files.release(bytes);
    this.#ends.stored(bytes);
  }

  /**
   * Failure is ignored: a full disk must not block the step that would free it, and ingest repeats `stored` after a restart.
   */
  #note(stored: number, closed: boolean): void {
    try {
      this.#log.files.note({ kind: 'stored', stored, closed });
    } catch {
      return;
    }
  }

  /** Finds the next checkpoint in the journal, so that no block after it is sent before it. */
  #lookAhead(): void {
    const { files } = this.#log;
    if (this.#ahead !== null || this.#journalAt >= files.journalSize) return;
    for (const { record, end } of readRecords(files.readJournal(this.#journalAt))) {
      if (record.kind !== 'part' || record.checkpoint.block < this.#n) continue;
      this.#ahead = { record, end: this.#journalAt + end };
      this.#journalAt = this.#ahead.end;
      return;
    }
    this.#journalAt = files.journalSize;
  }

  #take({ n, start, length, until, head }: CutBlock): OutgoingFrame {
    const content = Buffer.allocUnsafe(length);
    this.#log.files.read(start, content, length);
    const recent = this.#log.recent!;
    while (recent.length > 0 && recent[0]!.n <= n) recent.shift();
    if (recent.length === 0) this.#log.recent = null;
    this.#advance(n, until, start + length, head);
    return { kind: 'block', n, head, content };
  }

  /** The block after the cursor, cut from the file. It is complete, because the log cut it before. */
  #recut(): OutgoingFrame | null {
    const into = this.stream === 'events' ? (wideWindow ??= Buffer.allocUnsafeSlow(MAX_EVENT_LINE_BYTES + BLOCK_MAX_BYTES)) : window;
    const length = this.#log.files.read(this.#bytes, into, Math.min(into.length, this.#log.bytes - this.#bytes));
    const whole = into.subarray(0, into.lastIndexOf(0x0a, length - 1) + 1);
    for (const { n, until, content } of cutBlocks(whole, { n: this.#n, at: this.#at })) {
      const head = nextHead(this.#head, content);
      this.#advance(n, until, this.#bytes + content.length, head);
      return { kind: 'block', n, head, content: Buffer.from(content) };
    }
    return null;
  }

  #advance(n: number, at: number, bytes: number, head: string): void {
    this.#n = n;
    this.#at = at;
    this.#bytes = bytes;
    this.#head = head;
  }
}

function startOf({ files }: SignedLog): string {
  return Buffer.from(chainStart(sha256, files.session, files.stream)).toString('hex');
}
