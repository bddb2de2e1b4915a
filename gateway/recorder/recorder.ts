/**
 * The recorder: what every session of the gateway is written through.
 *
 * Idea: bytes go into the spool before anyone sees them; when `output()` returns true or false, they are in a file that
 * survives the death of this process. Blocks, chain and checkpoints follow from the written lines, and the uplink reads
 * them from the files, so that nothing waits in memory. Limits: an incomplete UTF-8 sequence (at most three bytes) is
 * held until its rest arrives, 100 ms pass or the session closes. Tested in recorder.test.ts and ../spool/crash.test.ts.
 */
import type { StenoError } from '#schemas/base/errors.js';
import type { Gap, Participant, SessionFacts, StreamFact } from '#schemas/recording/line.js';
import type { AuditRow } from '#schemas/events/rows.js';
import type { FreeEvent } from './free-events.js';
import type { Follows } from '../streams/observing/observer.js';

/** What a caller knows of an audit row; what is left out is empty. */
export type AuditEntry = Pick<AuditRow, 'event' | 'outcome'> & Partial<Omit<AuditRow, 'id' | 'at' | 'event' | 'outcome'>>;

/** Session facts that the recorder does not choose itself. */
export type OpenFacts = Omit<SessionFacts, 'format' | 'session' | 'counter' | 'gateway' | 'started_at'>;

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
  readonly type?: string;
}

export interface SessionRecorder {
  readonly session: string;
  /**
   * Synchronous: when it returns, the bytes are written to the spool, or counted and hashed beyond the limit. False is
   * a request to pause until `onReady`; the bytes of this call are recorded all the same, unless `onFailure` was called
   * meanwhile: a strict session must then not show them.
   */
  output(stream: 'out' | 'err', bytes: Buffer, channel?: number): boolean;
  /** What the user sent. With a terminal it is kept only once the terminal echoed it. */
  input(bytes: Buffer, channel?: number): boolean;
  /** Calls back once, as soon as the spool has room again; at once (next tick) if it has. */
  onReady(callback: () => void): void;
  /**
   * Which of the session's own streams carry a protocol that is followed, from the next bytes on; neither, until said. By default
   * (`streams: commands`) the others are recorded in full, and standard error always is.
   */
  follows(streams: Follows): void;
  /** A new terminal size in cells; clamped to 1 to 1000. */
  resize(cols: number, rows: number): void;
  fact(fact: StreamFact): void;
  gap(gap: Gap): void;
  /** Begins the log of the session's kernel events, beside the recording. False: it cannot be kept. */
  logEvents(): boolean;
  participant(participant: Participant): void;
  /** Exit status, or the name of the signal without `SIG`. */
  exit(status: number | string): void;
  /**
   * The recorder failed: RECORDING_IMPOSSIBLE or SPOOL_FULL. strict: the gateway must end the session; best_effort: it
   * goes on, unrecorded until writing works again. Called once; at once (next tick) if it failed before.
   */
  onFailure(callback: (error: StenoError) => void): void;
  /**
   * Writes what is held, signs the last checkpoint, and resolves when it is on disk. Where the disk refuses, it resolves
   * at once, and the end is written as soon as it can be. Never rejects; may be repeated.
   */
  close(): Promise<void>;
}

export interface Recorder {
  /**
   * Begins a recording. Rejects with RECORDING_IMPOSSIBLE or SPOOL_FULL when the session is strict and cannot be
   * recorded; its counter is spent then, and an audit row says so. `command` is what the client asked to run.
   */
  open(facts: OpenFacts, term: TerminalSize, command?: string): Promise<SessionRecorder>;
  /** Queues an audit row, durably: it is written to the spool before this returns, fsynced at most 1 s later. */
  audit(entry: AuditEntry): void;
  /** Queues an event that belongs to no session, as durably. */
  event(event: FreeEvent): void;
  /** Whether events are likely to be lost: ingest has been away for long. */
  readonly eventsFull: boolean;
  /** Closes every open session as complete, then the uplink and the spool. What is unsent stays in the spool. */
  close(): Promise<void>;
}
