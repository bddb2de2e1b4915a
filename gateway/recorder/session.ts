/**
 * One session being recorded: the interface that the gateway calls, on top of the signed log.
 *
 *     recording ──write fails──► lost ──writing works again (best_effort)──► recording
 *         │                       │ strict: the gateway ends the session
 *         └────────close──────────┴──► closed
 *
 * When the spool is full, the session and its user wait for room. A best_effort session waits for `FULL_MS` and is then
 * lost. An idle session holds no buffers, no timers and no file descriptors. Tested in recorder.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_LINE_BYTES, encodeLine } from '#schemas/recording/line.js';
import type { Gap, LineBody, Participant, RecordingMode, StreamFact } from '#schemas/recording/line.js';
import { wholeUtf8 } from '../spool/escape.js';
import { HISTORY_BYTES } from './recorder.js';
import type { AuditEntry, History, SessionRecorder } from './recorder.js';
import type { SignedLog } from '../spool/signed-log.js';
import { ClipboardWatch } from './clipboard.js';
import { PasteWatch } from './pastes.js';
import { HOLD_MS, Streams } from './streams.js';
import { TerminalText } from './terminal-text.js';
import { SECRET_BYTES, TypedInput } from './typed.js';
import type { Due, Wheel } from './wheel.js';
import type { Spool } from '../spool/spool.js';
import type { Follows } from '../streams/observing/observer.js';

export interface SessionParts {
  readonly spool: Spool;
  readonly wheel: Wheel;
  /** Monotonic milliseconds, also the wheel's clock. */
  readonly monotonic: () => number;
  readonly audit: (entry: AuditEntry) => void;
  readonly closed: (session: RecordedSession) => void;
  /** Begins the log of the session's kernel events. Throws RECORDING_IMPOSSIBLE or SPOOL_FULL. */
  readonly logEvents: (sender?: string) => void;
}

export interface SessionIdentity {
  readonly tty: boolean;
  readonly recording: RecordingMode;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly source_address: string;
}

const RETRY_MS = 1_000;
/** If ingest is draining the spool, room appears within moments. After this long, nothing is draining it. */
const FULL_MS = 2_000;

export class RecordedSession implements SessionRecorder, Due {
  readonly session: string;
  readonly #parts: SessionParts;
  readonly #log: SignedLog;
  readonly #identity: SessionIdentity;
  readonly #start: number;
  readonly #text: TerminalText;
  #typed: TypedInput | null = null;
  #clipboard: ClipboardWatch | null = null;
  #pastes: PasteWatch | null = null;
  /** Hash and byte count of the terminal output. */
  #shown: { readonly hash: Hash; bytes: number } | null = null;
  #streams: Streams | null = null;
  #follows: Follows = 'neither';
  /** An incomplete character at the end of terminal output. */
  #held: Buffer | null = null;
  #heldAt = 0;
  /** When the spool became full for a best_effort session, and the callbacks waiting for room. */
  #fullSince: number | null = null;
  #waiting: Set<() => void> | null = null;
  #failure: StenoError | null = null;
  #lost = 0;
  #retryAt = 0;
  #settle = false;
  #failureCallback: ((error: StenoError) => void) | null = null;
  #closing: Promise<void> | null = null;
  #ended: (() => void) | null = null;
  #ending = false;

  /** `start`: the wheel's time at session time 0. */
  constructor(parts: SessionParts, log: SignedLog, identity: SessionIdentity, start: number) {
    this.session = log.files.session;
    this.#parts = parts;
    this.#log = log;
    this.#text = new TerminalText(log);
    this.#identity = identity;
    this.#start = start;
    log.onTrouble = (error) => this.#fail(error);
    log.files.onSyncFailure = (error) => this.#fail(error);
    this.#schedule();
  }

  output(stream: 'out' | 'err', bytes: Buffer, channel?: number): boolean {
    const now = this.#now();
    if (channel === undefined && this.#identity.tty) this.#count(bytes);
    if (!this.#writable(now, bytes.length)) return this.#identity.recording.mode === 'best_effort';
    try {
      if (channel === undefined && this.#identity.tty) this.#terminalOutput(bytes, now);
      else this.#streamsOf().take(stream, bytes, channel, now);
    } catch (error) {
      return this.#failed(error, bytes.length);
    }
    return this.#wrote();
  }

  input(bytes: Buffer, channel?: number): boolean {
    const now = this.#now();
    if (!this.#writable(now, bytes.length)) return this.#identity.recording.mode === 'best_effort';
    try {
      if (channel === undefined && this.#identity.tty) this.#terminalInput(bytes, now);
      else this.#streamsOf().take('in', bytes, channel, now);
    } catch (error) {
      return this.#failed(error, bytes.length);
    }
    return this.#wrote();
  }

  typist(user: string): void {
    if (this.#identity.tty) this.#typedOf().typist(user, this.#identity.user);
  }

  history(): History {
    const { files } = this.#log;
    const start = Math.max(files.first, files.size - HISTORY_BYTES);
    const bytes = Buffer.allocUnsafe(files.size - start);
    const lines = bytes.subarray(0, files.read(start, bytes, bytes.length));
    // Drops the first line: the header if reading began at offset 0, otherwise the rest of a line.
    return { lines: lines.subarray(lines.indexOf(0x0a) + 1), whole: start === 0, held: this.#held ?? Buffer.alloc(0) };
  }

  onReady(callback: () => void): void {
    if (this.#identity.recording.mode === 'strict') return this.#parts.spool.onRoom(callback);
    if (this.#failure !== null) return process.nextTick(callback);
    const waiting = (this.#waiting ??= new Set());
    waiting.add(callback);
    this.#parts.spool.onRoom(() => {
      if (waiting.delete(callback)) callback();
    });
  }

  follows(streams: Follows): void {
    this.#follows = streams;
    this.#streams?.follow(streams);
  }

  resize(cols: number, rows: number): void {
    this.#line({ code: 'r', data: `${clampCells(cols)}x${clampCells(rows)}` });
  }

  fact(fact: StreamFact): void {
    if (fact.fact === 'forward_close' && this.#streams !== null) this.#guarded((now) => this.#streams!.total(now, fact.channel));
    this.#line(bounded({ code: 's', data: fact }));
  }

  gap(gap: Gap): void {
    this.#line(bounded({ code: 'g', data: gap }));
  }

  logEvents(sender?: string): boolean {
    if (this.#closing !== null) return false;
    try {
      this.#parts.logEvents(sender);
      return true;
    } catch (error) {
      this.#audit('event_log.impossible', 'failure', error instanceof StenoError ? error.code : 'INTERNAL', '', {});
      return false;
    }
  }

  participant(participant: Participant): void {
    this.#line(bounded({ code: 'j', data: participant }));
  }

  marker(text: string): void {
    this.#line({ code: 'm', data: wellFormed(text) });
  }

  exit(status: number | string): void {
    if (this.#streams !== null) this.#guarded((now) => this.#streams!.writeTails(now));
    this.#line({ code: 'x', data: String(status).slice(0, 64) });
  }

  onFailure(callback: (error: StenoError) => void): void {
    this.#failureCallback = callback;
    const failure = this.#failure;
    if (failure !== null) process.nextTick(callback, failure);
  }

  close(): Promise<void> {
    this.#closing ??= new Promise<void>((resolve) => {
      this.#ended = resolve;
      this.#ending = true;
      this.#end();
    });
    return this.#closing;
  }

  due(): void {
    const now = this.#now();
    if (this.#ending) {
      this.#end();
      return;
    }
    if (this.#failure !== null) {
      if (this.#identity.recording.mode === 'best_effort') {
        this.#writable(now, 0);
        this.#settleLost(now);
      }
    } else {
      try {
        if (this.#held !== null && now >= this.#heldAt + HOLD_MS) this.#releaseHeld(now);
        this.#typed?.expire(now);
        this.#noted(now, this.#pastes?.due(now), ...(this.#clipboard?.due(now) ?? []));
        this.#streams?.expire(now);
        this.#giveUp();
        if (this.#settle && now >= this.#log.dueAt) {
          this.#settle = false;
          this.#log.settle(now);
        } else this.#log.tick(now);
      } catch (error) {
        this.#failed(error, 0);
      }
    }
    this.#schedule();
  }

  /** A best_effort session has waited long enough for room. */
  #giveUp(): void {
    if (this.#fullSince === null || this.#failure !== null || this.#now() < this.#fullSince + FULL_MS) return;
    this.#fullSince = null;
    if (this.#parts.spool.full) this.#fail(new StenoError('SPOOL_FULL'));
  }

  /** Lines recorded before room ran out can be stored, and freed, only once they are signed. */
  #settleLost(now: number): void {
    if (!this.#settle || this.#failure === null) return;
    this.#settle = false;
    try {
      this.#log.settle(now);
    } catch {
      this.#settle = true;
    }
  }

  #now(): number {
    return Math.floor(this.#parts.monotonic() - this.#start);
  }

  #streamsOf(): Streams {
    if (this.#streams === null) {
      this.#streams = new Streams(this.#log, this.#identity.recording);
      this.#streams.follow(this.#follows);
    }
    return this.#streams;
  }

  #terminalOutput(bytes: Buffer, now: number): void {
    this.#text.releasing(() => this.#typedOf().shown(bytes, now));
    const chunk = this.#held === null ? bytes : Buffer.concat([this.#held, bytes]);
    const whole = wholeUtf8(chunk);
    // Set the held bytes first: if writing fails below, they count as lost with the rest.
    this.#held = whole === chunk.length ? null : Buffer.from(chunk.subarray(whole));
    this.#heldAt = now;
    const text = whole === chunk.length ? chunk : chunk.subarray(0, whole);
    this.#text.output(text, now);
    this.#noted(now, ...(this.#clipboard ??= new ClipboardWatch()).shown(bytes, now));
  }

  #terminalInput(bytes: Buffer, now: number): void {
    this.#noted(now, (this.#pastes ??= new PasteWatch(SECRET_BYTES)).typed(bytes, now));
    this.#typedOf().typed(bytes, now);
  }

  #noted(now: number, ...facts: readonly (StreamFact | null | undefined)[]): void {
    for (const fact of facts) if (fact != null) this.#log.line({ code: 's', data: fact }, now);
  }

  /**
   * Counts bytes as shown whether or not they could be written. A strict session ends on failure, so there they were not
   * shown.
   */
  #count(bytes: Buffer): void {
    const shown = (this.#shown ??= { hash: createHash('sha256'), bytes: 0 });
    shown.hash.update(bytes);
    shown.bytes += bytes.length;
  }

  #typedOf(): TypedInput {
    return (this.#typed ??= new TypedInput(
      {
        echoed: (bytes, now) => this.#text.input(bytes, now),
        line: (body, now) => this.#text.line(body, now),
      },
      this.#identity.recording.unechoed ?? 'digest',
    ));
  }

  /** Records the totals of the terminal; input that was neither echoed nor data is not included. */
  #terminalTotals(now: number): void {
    const total = (stream: 'in' | 'out', passed: { readonly hash: Hash; readonly bytes: number } | null): void => {
      if (passed !== null && passed.bytes > 0)
        this.#log.line({ code: 's', data: { fact: 'total', stream, bytes: passed.bytes, sha256: passed.hash.digest('hex') } }, now);
    };
    total('out', this.#shown);
    total('in', this.#typed?.recorded ?? null);
    this.#shown = null;
    this.#typed = null;
  }

  #releaseHeld(now: number): void {
    const held = this.#held;
    this.#held = null;
    if (held !== null) this.#text.output(held, now);
  }

  #line(body: LineBody): void {
    this.#guarded((now) => {
      this.#releaseHeld(now);
      this.#streams?.releaseAll(now);
      this.#log.line(body, now);
    });
  }

  #guarded(write: (now: number) => void): void {
    const now = this.#now();
    if (!this.#writable(now, 0)) return;
    try {
      write(now);
    } catch (error) {
      this.#failed(error, 0);
    }
    this.#schedule();
  }

  #wrote(): boolean {
    this.#schedule();
    if (!this.#parts.spool.full) {
      this.#fullSince = null;
      return true;
    }
    // Only signed data can be stored and freed.
    this.#settle = true;
    if (this.#identity.recording.mode === 'strict') return false;
    this.#fullSince ??= this.#now();
    this.#giveUp();
    this.#schedule();
    return this.#failure !== null;
  }

  #schedule(): void {
    let due = this.#log.dueAt;
    if (this.#held !== null) due = Math.min(due, this.#heldAt + HOLD_MS);
    if (this.#streams !== null) due = Math.min(due, this.#streams.dueAt);
    if (this.#fullSince !== null) due = Math.min(due, this.#fullSince + FULL_MS);
    if (this.#typed !== null) due = Math.min(due, this.#typed.dueAt);
    if (this.#clipboard !== null) due = Math.min(due, this.#clipboard.dueAt);
    if (this.#pastes !== null) due = Math.min(due, this.#pastes.dueAt);
    if (this.#failure !== null) due = this.#retryAt;
    if (due < Infinity && this.#closing === null) this.#parts.wheel.at(this, due + this.#start);
  }

  #failed(error: unknown, bytes: number): boolean {
    this.#lost += bytes;
    this.#fail(error instanceof StenoError ? error : new StenoError('RECORDING_IMPOSSIBLE', 'the recorder failed', { cause: error }));
    return this.#identity.recording.mode === 'best_effort';
  }

  #fail(error: StenoError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#retryAt = this.#now() + RETRY_MS;
    this.#held = null;
    const strict = this.#identity.recording.mode === 'strict';
    this.#audit(strict ? 'recording.failed' : 'recording.lost', 'failure', error.code, error.detail ?? '', {});
    this.#schedule();
    const waiting = this.#waiting;
    this.#waiting = null;
    for (const callback of waiting ?? []) callback();
    this.#failureCallback?.(error);
  }

  /** Whether lines can be written; a lost best_effort session retries once a second. */
  #writable(now: number, bytes: number): boolean {
    if (this.#closing !== null) return false;
    if (this.#failure === null) return true;
    if (this.#identity.recording.mode === 'best_effort' && now >= this.#retryAt && this.#resume(now)) return true;
    this.#lost += bytes;
    return false;
  }

  /** Tries to write a gap line for the lost bytes; if that works, the session is recorded again. */
  #resume(now: number): boolean {
    // A session that is ending may still use the few bytes of the gap line that records the loss.
    if (!this.#parts.spool.roomy && !this.#ending) {
      this.#retryAt = now + RETRY_MS;
      return false;
    }
    try {
      this.#log.line({ code: 'g', data: { reason: 'recorder_failed', bytes: this.#lost } }, now);
    } catch {
      this.#retryAt = now + RETRY_MS;
      return false;
    }
    if (this.#identity.recording.mode === 'best_effort') this.#audit('recording.resumed', 'success', '', '', { lost_bytes: this.#lost });
    this.#failure = null;
    this.#lost = 0;
    return true;
  }

  /** Ends the log. If the disk refuses, retries every second until the recorder closes. */
  #end(): void {
    const now = this.#now();
    try {
      const cut = this.#failure !== null;
      if (cut && !this.#log.ended && !this.#resume(now)) throw this.#failure!;
      if (!this.#log.ended) {
        this.#releaseHeld(now);
        this.#typed?.end(now);
        this.#noted(now, this.#pastes?.end(), ...(this.#clipboard?.end() ?? []));
        // Output that a strict session was about to show when it failed was not shown.
        if (!cut || this.#identity.recording.mode !== 'strict') this.#terminalTotals(now);
        this.#streams?.total(now);
        this.#streams = null;
        this.#log.end(cut && this.#identity.recording.mode === 'strict' ? 'interrupted' : 'complete', now);
      }
    } catch (error) {
      this.#failed(error, 0);
      this.#parts.wheel.at(this, now + this.#start + RETRY_MS);
      // The caller of `close` need not wait for a disk.
      this.#ended?.();
      return;
    }
    this.#ending = false;
    this.#parts.wheel.cancel(this);
    void this.#parts.spool.flushSoon(this.#log.files).then(() => this.#finish());
  }

  /** Called when the recorder closes without waiting: recovery ends what could not be ended. */
  abandon(): void {
    this.#parts.wheel.cancel(this);
    this.#finish();
  }

  #finish(): void {
    this.#ended?.();
    this.#ended = null;
    this.#parts.closed(this);
  }

  #audit(event: string, outcome: 'success' | 'failure', code: string, reason: string, data: object): void {
    const { user, node, login, source_address } = this.#identity;
    this.#parts.audit({
      event,
      outcome,
      code,
      reason,
      actor: user,
      node,
      login,
      source_address,
      session: this.session,
      data: JSON.stringify(data),
    });
  }
}

function clampCells(cells: number): number {
  return Number.isFinite(cells) ? Math.min(1000, Math.max(1, Math.floor(cells))) : 80;
}

/** Keeps a line within its size limit: long strings are cut, and a note says so if the line has room for one. */
function bounded<T extends LineBody>(body: T): T {
  for (let limit = 32_768; limit >= 64 && Buffer.byteLength(encodeLine(0, body)) > MAX_LINE_BYTES - 64; limit /= 2) {
    const data = Object.fromEntries(
      Object.entries(body.data).map(([key, value]) => [key, typeof value === 'string' ? wellFormed(value.slice(0, limit)) : value]),
    );
    body = { ...body, data } as T;
  }
  return body;
}

/** Cutting may split a surrogate pair. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}
