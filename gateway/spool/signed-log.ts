/**
 * The signed log of one session, or of its kernel events: lines go in, and blocks, chain and checkpoints are derived from
 * them.
 *
 * Write order, live:
 *   1. A piece of text is appended to the file as part of a line that is still open (or a whole line of another code, or a
 *      key as a closed line together with its echo in an open one).
 *      Crash: recovery closes the open line; everything that was shown is there.
 *   2. The line is closed, by the next line or a second after its block began. Crash between 1 and 2: as 1.
 *   3. Its block is cut: read back from the file and hashed. Nothing is written. Crash: recovery cuts the same block,
 *      since boundaries follow from the lines.
 *   4. After 256 KiB or 60 s the chain head is signed, and the checkpoint appended to the journal. Crash between 3 and 4:
 *      recovery signs a checkpoint of its own, later; between 4 and 5: the journal's copy is sent, unchanged.
 *   5. Lines and journal are fsynced; only then may the checkpoint leave. Power cut before: it never existed.
 *   6. The last checkpoint (`end` other than `open`) goes the same way. Crash after it: the session is complete.
 *
 * Recovery uses `resume`, which passes the lines after the last checkpoint through the same functions. Tested in
 * signed-log.test.ts and ../spool/crash.test.ts.
 */
import { createHash } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { BLOCK_MAX_BYTES, BlockCutter } from '#schemas/recording/block.js';
import { chainStart } from '#schemas/recording/chain.js';
import { checkpointText } from '#schemas/recording/checkpoint.js';
import type { Checkpoint, SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import {
  MAX_LINE_BYTES,
  closeText,
  encodeHeader,
  encodeLine,
  encodeRawLine,
  lineLimit,
  openText,
  peekLine,
} from '#schemas/recording/line.js';
import type { LineBody, RecordingHeader } from '#schemas/recording/line.js';
import type { LogMark } from './journal.js';
import type { SessionFiles } from './session-files.js';
import { escapeInto } from './escape.js';
import type { Escaped } from './escape.js';

export const CHECKPOINT_BYTES = 256 << 10;
export const CHECKPOINT_MS = 60_000;
/** Text that arrives within this time joins the open line. */
export const COALESCE_MS = 10;
/** Open text lines stay within half a block, so that two full ones fill a block. */
const TEXT_LINE_BYTES = BLOCK_MAX_BYTES / 2;
/** Longer input and output are written one after the other. Escaped, both fit `scratch` and a text line. */
const ECHO_BYTES = 512;
/** Blocks whose position is remembered for the sender; older ones it finds in the file. */
const RECENT_BLOCKS = 128;

export interface CutBlock {
  readonly n: number;
  /** Offset and length of the content in the stream of lines. */
  readonly start: number;
  readonly length: number;
  /** Session time of the last line in ms. */
  readonly until: number;
  readonly head: string;
}

export interface LogParts {
  /** The SSH signature blob of an SSHSIG over the text, in namespace `CHECKPOINT_NAMESPACE`. */
  readonly sign: (text: string) => Uint8Array;
  /** Ms since 1970, for `time` of checkpoints. */
  readonly wallClock: () => number;
}

export const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

// One scratch area for all sessions: everything here is synchronous.
const scratch = Buffer.allocUnsafeSlow(MAX_LINE_BYTES + 256);
const content = Buffer.allocUnsafeSlow(BLOCK_MAX_BYTES);
const lengthBytes = Buffer.alloc(8);
const escaped: Escaped = { read: 0, end: 0 };
const lineEnd = Buffer.from(closeText());

/** h[n] in hex, computed from h[n-1] in hex and the content of block n. */
export function nextHead(head: string, block: Uint8Array): string {
  lengthBytes.writeUInt32BE(block.length, 4);
  return createHash('sha256').update(head, 'hex').update(lengthBytes).update(block).digest('hex');
}

export class SignedLog {
  readonly files: SessionFiles;
  readonly gateway: string;
  readonly counter: number;
  /** Blocks cut so far, the bytes they cover, and the session time of their last line. */
  n = 0;
  bytes = 0;
  at = 0;
  head: string;
  /** Checkpoints signed so far. */
  part = 0;
  ended = false;
  recent: CutBlock[] | null = null;
  /** Called when a block was cut or a checkpoint signed. */
  onProgress: ((checkpoint: boolean) => void) | null = null;
  /** Called when lines were written but a later step failed: hashing or signing. */
  onTrouble: ((error: StenoError) => void) | null = null;
  /** For an event log: the state after the lines that a checkpoint covers, for the journal. */
  mark: (() => LogMark) | null = null;
  readonly #parts: LogParts;
  #broken: StenoError | null = null;
  readonly #cutter = new BlockCutter();
  /** Offset after the last closed line; lines between `bytes` and here belong to the open block. */
  #closed: number;
  #closedAt = 0;
  /** Session time of the open text line, or -1. */
  #openAt = -1;
  #openCode: 'o' | 'i' = 'o';
  #checkpointBytes = 0;
  #checkpointAt = 0;

  constructor(files: SessionFiles, gateway: string, counter: number, parts: LogParts) {
    this.files = files;
    this.gateway = gateway;
    this.counter = counter;
    this.#parts = parts;
    this.head = hexOf(chainStart(sha256, files.session, files.stream));
    this.#closed = 0;
  }

  /** Session time of the last line, including an open one: no later line may precede it. */
  get last(): number {
    return this.#openAt >= 0 ? this.#openAt : this.#closedAt;
  }

  /** Session time at which `tick` has work to do; Infinity when idle. */
  get dueAt(): number {
    if (this.ended) return Infinity;
    if (this.#closed > this.bytes) return this.#cutter.closesAt;
    if (this.#openAt >= 0) return this.#openAt + 1000;
    return this.bytes > this.#checkpointBytes ? this.#checkpointAt + CHECKPOINT_MS : Infinity;
  }

  /** Bytes of lines that no checkpoint covers yet. */
  get unsigned(): number {
    return this.files.size - this.#checkpointBytes;
  }

  /** Writes the first line. Throws as `SessionFiles.append` does; so do all methods that write. */
  begin(header: RecordingHeader): void {
    const line = Buffer.from(encodeHeader(header));
    if (line.length > MAX_LINE_BYTES) throw new RangeError('recording header is too long');
    this.#append(line, line.length);
    this.#closeLine(line.length, 0);
  }

  /** Appends one whole line at session time `now` in ms. It must fit `MAX_LINE_BYTES`. */
  line(body: LineBody, now: number): void {
    const time = this.#time(now);
    const end = this.#openAt >= 0 ? lineEnd.copy(scratch, 0) : 0;
    const openEnd = this.files.size + end;
    const interval = time - this.last;
    const raw = body.code === 'b';
    const text = raw ? encodeRawLine(interval, body.data) : encodeLine(interval, body);
    // Base64 and what is around it is ASCII: it is neither measured nor encoded.
    const length = raw ? text.length : Buffer.byteLength(text);
    if (length > MAX_LINE_BYTES) throw new RangeError(`line "${body.code}" is too long`);
    scratch.write(text, end, raw ? 'latin1' : 'utf8');
    this.#append(scratch, end + length);
    if (this.#openAt >= 0) this.#endOpenLine(openEnd);
    this.#closeLine(length, time);
  }

  /**
   * Appends whole lines at session time `now` in ms, all or none, in one write. For event logs, which have no text lines.
   * `closed` is called for each line once it counts, before anything that covers the next line is signed.
   */
  lines(bodies: readonly LineBody[], now: number, closed: (i: number) => void): void {
    const time = this.#time(now);
    const pieces = bodies.map((body, i) => Buffer.from(encodeLine(i === 0 ? time - this.last : 0, body)));
    const longest = lineLimit(this.files.stream);
    if (pieces.some(({ length }) => length > longest)) throw new RangeError('a line is too long');
    const whole = Buffer.concat(pieces);
    this.#append(whole, whole.length);
    pieces.forEach(({ length }, i) => {
      this.#closeLine(length, time);
      closed(i);
    });
  }

  /** Appends text at session time `now` in ms, to the open line if that is recent. `bytes` must be complete, valid UTF-8. */
  text(code: 'o' | 'i', bytes: Uint8Array, now: number): void {
    for (let taken = 0; taken < bytes.length;) {
      const time = this.#time(now);
      const open = this.#openAt >= 0;
      const room = TEXT_LINE_BYTES - lineEnd.length - (open ? this.files.size - this.#closed : 0);
      const joins = open && this.#openCode === code && time - this.#openAt < COALESCE_MS && room >= 24;
      let end = 0;
      if (!joins) {
        if (open) end = lineEnd.copy(scratch, 0);
        end += scratch.write(openText(time - this.last, code), end, 'latin1');
      }
      const prefix = joins ? 0 : end - (open ? lineEnd.length : 0);
      escapeInto(bytes, taken, bytes.length, scratch, end, end + (joins ? room : TEXT_LINE_BYTES - lineEnd.length - prefix), escaped);
      const openEnd = this.files.size + lineEnd.length;
      this.#append(scratch, escaped.end);
      taken += escaped.read;
      if (joins) continue;
      if (open) this.#endOpenLine(openEnd);
      this.#openAt = time;
      this.#openCode = code;
    }
  }

  /**
   * The same as `text('i', typed)` followed by `text('o', shown)`, in one write if both are short: a key and its echo. Both must be
   * complete, valid UTF-8, and `typed` must not be empty.
   */
  echo(typed: Uint8Array, shown: Uint8Array, now: number): void {
    const time = this.#time(now);
    const open = this.#openAt >= 0;
    const joins = open && this.#openCode === 'i' && time - this.#openAt < COALESCE_MS;
    const short = typed.length + shown.length <= ECHO_BYTES && (!joins || this.files.size - this.#closed <= TEXT_LINE_BYTES / 2);
    if (!short || shown.length === 0) {
      this.text('i', typed, now);
      return this.text('o', shown, now);
    }
    const { size } = this.files;
    const typedAt = joins ? this.#openAt : time;
    let end = 0;
    if (!joins) {
      if (open) end = lineEnd.copy(scratch, 0);
      end += scratch.write(openText(time - this.last, 'i'), end, 'latin1');
    }
    escapeInto(typed, 0, typed.length, scratch, end, scratch.length, escaped);
    const typedEnd = escaped.end + lineEnd.copy(scratch, escaped.end);
    end = typedEnd + scratch.write(openText(time - typedAt, 'o'), typedEnd, 'latin1');
    escapeInto(shown, 0, shown.length, scratch, end, scratch.length, escaped);
    this.#append(scratch, escaped.end);
    if (open && !joins) this.#endOpenLine(size + lineEnd.length);
    this.#openAt = typedAt;
    this.#endOpenLine(size + typedEnd);
    this.#openAt = time;
    this.#openCode = 'o';
  }

  /**
   * Handles the passage of time: closes the open line and cuts the block when no further line can join it; signs checkpoints
   * every 60 s.
   */
  tick(now: number): void {
    if (this.ended) return;
    if (this.#openAt >= 0 && now >= this.dueAt) this.#closeOpenLine();
    if (this.#closed > this.bytes && now >= this.#cutter.closesAt) this.#cut(this.#closed);
    if (this.bytes > this.#checkpointBytes && now - this.#checkpointAt >= CHECKPOINT_MS && this.#closed === this.bytes)
      this.#checkpoint('open', now);
  }

  /** Signs the blocks cut so far ahead of schedule: room is scarce, and only signed data can be stored and freed. */
  settle(now: number): void {
    this.tick(now);
    if (!this.ended && this.bytes > this.#checkpointBytes && this.#closed === this.bytes) this.#checkpoint('open', now);
  }

  /** Closes the last line and block, and signs that nothing follows. */
  end(how: 'complete' | 'interrupted', now: number): void {
    if (this.ended) return;
    if (this.#openAt >= 0) this.#closeOpenLine();
    // One checkpoint covers the last block and says that nothing follows.
    if (this.#closed > this.bytes) this.#cut(this.#closed, true);
    this.#checkpoint(how, now);
  }

  /** Continues after `checkpoint` (null: at the start) with the complete lines that follow it in the file. */
  resume(part: number, checkpoint: SignedCheckpoint | null, wholeLines: Iterable<Buffer>): void {
    if (checkpoint !== null) {
      this.n = checkpoint.block;
      this.bytes = this.#closed = this.#checkpointBytes = checkpoint.bytes;
      this.at = this.#closedAt = this.#checkpointAt = checkpoint.at;
      this.head = checkpoint.head;
      this.part = part;
      this.ended = this.files.over = checkpoint.end !== 'open';
    }
    for (const line of wholeLines) {
      const interval = this.#closed === 0 ? 0 : peekLine(line.toString('latin1', 0, 64)).interval;
      this.#closeLine(line.length, this.#closedAt + interval);
    }
  }

  #time(now: number): number {
    // Lines never go back in time, and none joins a block that was cut because its time had run out.
    return Math.max(Math.floor(now), this.last, this.#closed === this.bytes && this.n > 0 ? this.#cutter.closesAt : 0);
  }

  #append(bytes: Uint8Array, length: number): void {
    if (this.#broken !== null) throw this.#broken;
    this.files.append(bytes, length);
  }

  #closeOpenLine(): void {
    this.#append(lineEnd, lineEnd.length);
    this.#endOpenLine(this.files.size);
  }

  /** The open line was ended in the file at offset `end`. */
  #endOpenLine(end: number): void {
    const at = this.#openAt;
    this.#openAt = -1;
    this.#closeLine(end - this.#closed, at);
  }

  /** A line of `length` bytes is in the file. Nothing after this may undo it, so errors are kept for later calls. */
  #closeLine(length: number, at: number): void {
    const start = this.#closed;
    const begins = this.#cutter.startsBlock(length, at) && start > this.bytes;
    if (begins) this.#cut(start);
    this.#closed = start + length;
    this.#closedAt = at;
  }

  #cut(end: number, last = false): void {
    const length = end - this.bytes;
    // A row longer than a block is a block by itself.
    const block = length > content.length ? Buffer.allocUnsafe(length) : content;
    try {
      this.files.read(this.bytes, block, length);
    } catch (error) {
      // Nothing can follow without the chain; recovery cuts the file again.
      this.#broken ??=
        error instanceof StenoError ? error : new StenoError('RECORDING_IMPOSSIBLE', 'the spool cannot be read back', { cause: error });
      this.onTrouble?.(this.#broken);
      return;
    }
    this.head = nextHead(this.head, block.subarray(0, length));
    this.n += 1;
    this.at = this.#closedAt;
    const cut: CutBlock = { n: this.n, start: this.bytes, length, until: this.at, head: this.head };
    if (this.recent !== null && this.recent.length >= RECENT_BLOCKS) this.recent = null;
    (this.recent ??= []).push(cut);
    this.bytes = end;
    if (last || (this.bytes - this.#checkpointBytes < CHECKPOINT_BYTES && this.at - this.#checkpointAt < CHECKPOINT_MS)) {
      this.onProgress?.(false);
      return;
    }
    try {
      this.#checkpoint('open', this.at);
    } catch (error) {
      // The lines are written; the next block tries to sign again.
      this.onProgress?.(false);
      this.onTrouble?.(error as StenoError);
    }
  }

  #checkpoint(end: Checkpoint['end'], now: number): void {
    if (this.#broken !== null) throw this.#broken;
    const { n, bytes, at, head, gateway, counter } = this;
    const checkpoint: Checkpoint = {
      session: this.files.session,
      gateway,
      counter,
      block: n,
      bytes,
      at,
      time: this.#parts.wallClock(),
      head,
      end,
    };
    const signature = Buffer.from(this.#parts.sign(checkpointText(checkpoint))).toString('base64');
    const log = this.mark?.();
    this.files.note({ kind: 'part', part: this.part + 1, checkpoint: { ...checkpoint, signature }, ...(log === undefined ? {} : { log }) });
    this.part += 1;
    this.ended = this.files.over = end !== 'open';
    this.#checkpointBytes = bytes;
    this.#checkpointAt = Math.max(now, at);
    this.onProgress?.(true);
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
