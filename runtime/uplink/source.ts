/**
 * What an uplink sends from: recordings and batches of audit rows that are durable elsewhere. The client pulls, so that
 * nothing waits in memory; whoever holds the data forgets it when it is told to.
 */
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import type { Stream } from '#schemas/recording/line.js';

export type OutgoingFrame =
  | { readonly kind: 'block'; readonly n: number; /** h[n] in hex. */ readonly head: string; readonly content: Uint8Array }
  /** With `end` other than `open` it is sent as `close`. */
  | { readonly kind: 'checkpoint'; readonly part: number; readonly checkpoint: SignedCheckpoint };

/** One recording, or the event log of one session, that ingest has not stored to its end. */
export interface SessionSource {
  readonly session: string;
  readonly stream: Stream;
  /**
   * Goes to the place after block `stored`, which ingest made durable. False: this place cannot be found any more, so
   * the recording cannot be continued; `refused` follows.
   */
  seek(stored: number): boolean;
  /** The next frame, in the order of the uplink, or null until `onWork` names this session again. Throws when it cannot be read. */
  next(): OutgoingFrame | null;
  /** Blocks up to `stored` are durable at ingest and may be forgotten; `closed`: the whole recording. Repeatable. */
  acknowledged(stored: number, closed: boolean): void;
  /** Ingest (or `seek`) says that this recording can never be accepted. It must be kept aside, not dropped. */
  refused(code: string, detail: string): void;
}

export interface RecordingSource {
  sessions(): Iterable<SessionSource>;
  /** Whom to tell when a session has something new to send. Set by the client. */
  onWork: ((session: SessionSource) => void) | null;
}

export interface EventBatch {
  /** Unique per sender; the same for every resend. */
  readonly id: string;
  /** Rows of the kernel, from nodes; events without a session, from gateways; audit rows when left out. */
  readonly table?: 'kernel' | 'events';
  /** JSON array of rows, at most 1 MiB with its header. */
  readonly payload: Uint8Array;
}

/** A queue of rows, in batches. */
export interface BatchSource {
  /** The version of the uplink that carries its batches; they wait while an older one is spoken. 1 when left out. */
  readonly version?: number;
  /** The oldest batch that is neither acknowledged nor handed out since `rewind`; null until `onWork` is called. */
  next(): EventBatch | null;
  /** Hands out everything again that was not acknowledged, but what is `underWay`: after a reconnect or a refusal. */
  rewind(underWay: ReadonlySet<string>): void;
  acknowledged(id: string): void;
  refused(id: string, code: string, detail: string): void;
  /** Ingest may take it later; `rewind` offers it again by and by, unless this puts it off. */
  later?(id: string, code: string, detail: string): void;
  onWork: (() => void) | null;
}
