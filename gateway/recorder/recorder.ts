/**
 * The recorder: every session of the gateway is written through it.
 *
 * Bytes go into the spool before anyone sees them: when `output()` returns, with either value, they are in a file that
 * survives the death of this process. Blocks, chain and checkpoints are derived from the written lines, and the uplink reads
 * them from the files, so nothing queues in memory. Limits: an incomplete UTF-8 sequence (at most three bytes) is held until
 * the rest arrives, 100 ms pass, or the session closes. Tested in recorder.test.ts and ../spool/crash.test.ts.
 */
import type { StenoError } from '#schemas/base/errors.js';
import type { Gap, Participant, SessionFacts, StreamFact } from '#schemas/recording/line.js';
import type { AuditRow } from '#schemas/events/rows.js';
import type { FreeEvent } from '#runtime/uplink/free-event-rows.js';
import type { Follows } from '../streams/observing/observer.js';

/** The fields of an audit row that a caller fills in; omitted fields are empty. */
export type AuditEntry = Pick<AuditRow, 'event' | 'outcome'> & Partial<Omit<AuditRow, 'id' | 'at' | 'event' | 'outcome'>>;

/** Session facts supplied by the caller; the recorder adds the rest. */
export type OpenFacts = Omit<SessionFacts, 'format' | 'session' | 'counter' | 'gateway' | 'started_at'>;

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
  readonly type?: string;
}

/** Bytes of lines that `history` reads at most. */
export const HISTORY_BYTES = 1 << 20;

export interface History {
  /** Whole lines of the recording, without its header, as text; the last one may lack the end that `closeText` writes. */
  readonly lines: Buffer;
  /** The lines go back to the beginning of the session. */
  readonly whole: boolean;
  /** An incomplete character after the lines; its remaining bytes were not shown yet. */
  readonly held: Buffer;
}

export interface SessionRecorder {
  readonly session: string;
  /**
   * Synchronous: when it returns, the bytes are in the spool, or (beyond the role's limit) counted and hashed. False asks
   * the caller to pause until `onReady`; the bytes of this call are recorded all the same, unless `onFailure` was called in
   * the meantime, in which case a strict session must not show them.
   */
  output(stream: 'out' | 'err', bytes: Buffer, channel?: number): boolean;
  /** Input from the user. On a terminal it is kept only once the terminal has echoed it. */
  input(bytes: Buffer, channel?: number): boolean;
  /** Names the user who typed the input that follows; the session's user until called. */
  typist(user: string): void;
  /** Reads the last `HISTORY_BYTES` of the recording from the spool, complete up to this moment. Throws when the disk fails. */
  history(): History;
  /** Calls back once, as soon as the spool has room; on the next tick if it has room now. */
  onReady(callback: () => void): void;
  /**
   * Sets which of the session's own streams carry a protocol that is being parsed, from the next bytes on; none until
   * called. By default (`streams: commands`) the other streams are recorded in full, and standard error always is.
   */
  follows(streams: Follows): void;
  /** A new terminal size in cells, clamped to 1–1000. */
  resize(cols: number, rows: number): void;
  fact(fact: StreamFact): void;
  gap(gap: Gap): void;
  /**
   * Begins the log of the session's kernel events, next to the recording. `sender`: the node whose rows it takes, where it is not the
   * session's own. False: no log can be kept.
   */
  logEvents(sender?: string): boolean;
  participant(participant: Participant): void;
  /** Records a chat message within the session: `USER: TEXT`, bounded by the caller. */
  marker(text: string): void;
  /** Exit status, or the name of the signal without `SIG`. */
  exit(status: number | string): void;
  /**
   * Called when the recorder fails with RECORDING_IMPOSSIBLE or SPOOL_FULL. A strict session must then be ended by the
   * gateway; a best_effort session continues, unrecorded until writing works again. Called once; on the next tick if the
   * failure is in the past.
   */
  onFailure(callback: (error: StenoError) => void): void;
  /**
   * Writes held bytes, signs the last checkpoint, and resolves when it is on disk. If the disk refuses, it resolves immediately
   * and the end is written as soon as possible. Never rejects; may be called repeatedly.
   */
  close(): Promise<void>;
}

export interface Recorder {
  /**
   * Begins a recording. Rejects with RECORDING_IMPOSSIBLE or SPOOL_FULL if the session is strict and cannot be recorded; its
   * session number is then spent, and an audit row says so. `command`: the command that the client asked to run.
   */
  open(facts: OpenFacts, term: TerminalSize, command?: string): Promise<SessionRecorder>;
  /** Queues an audit row durably: it is in the spool when this returns, and fsynced at most 1 s later. */
  audit(entry: AuditEntry): void;
  /** Queues an event that belongs to no session, with the same durability. */
  event(event: FreeEvent): void;
  /** Whether events are likely to be lost because ingest has been unreachable for long. */
  readonly eventsFull: boolean;
  /** Closes every open session as complete, then the uplink and the spool. Unsent data stays in the spool. */
  close(): Promise<void>;
}
