/**
 * The sources of an uplink: recordings and batches of audit rows that are durable elsewhere. The client pulls, so nothing
 * queues in memory; a source forgets data only when told to.
 */
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import type { Stream } from '#schemas/recording/line.js';

export type OutgoingFrame =
  | { readonly kind: 'block'; readonly n: number; /** h[n] in hex. */ readonly head: string; readonly content: Uint8Array }
  /** Sent as `close` if `end` is not `open`. */
  | { readonly kind: 'checkpoint'; readonly part: number; readonly checkpoint: SignedCheckpoint };

/** One recording, or the event log of one session, not yet stored to its end by ingest. */
export interface SessionSource {
  readonly session: string;
  readonly stream: Stream;
  /**
   * Moves to the position after block `stored`, which ingest has made durable. False: the position no longer exists, so the
   * recording cannot be continued; `refused` follows.
   */
  seek(stored: number): boolean;
  /** The next frame in uplink order, or null until `onWork` names this session again. Throws if it cannot be read. */
  next(): OutgoingFrame | null;
  /** The lines recorded since the draft that ended at byte `to` of block `n`; null if there are none, or if blocks wait to be sent. */
  draft?(n: number, to: number): Draft | null;
  /** Blocks up to `stored` are durable at ingest and may be forgotten; `closed`: the whole recording is. May be repeated. */
  acknowledged(stored: number, closed: boolean): void;
  /** Ingest (or a failed `seek`) can never accept this recording. It must be quarantined, not dropped. */
  refused(code: string, detail: string): void;
}

/** Lines recorded for a block that is not complete yet (`draft` of schemas/uplink.ts). */
export interface Draft {
  readonly n: number;
  readonly from: number;
  readonly bytes: Uint8Array;
}

export interface RecordingSource {
  sessions(): Iterable<SessionSource>;
  /** Called when a session has something new to send. Set by the client. */
  onWork: ((session: SessionSource) => void) | null;
}

export interface EventBatch {
  /** Unique per sender; the same for every resend. */
  readonly id: string;
  /** Kernel rows come from nodes, events without a session from gateways; audit rows if omitted. */
  readonly table?: 'kernel' | 'events';
  /** JSON array of rows, at most 1 MiB with its header. */
  readonly payload: Uint8Array;
}

/** A queue of rows, in batches. */
export interface BatchSource {
  /** Uplink version required for its batches, which wait while an older version is in use; 1 if omitted. */
  readonly version?: number;
  /** The oldest batch that is neither acknowledged nor handed out since `rewind`; null until `onWork` is called. */
  next(): EventBatch | null;
  /** After a reconnect or a refusal: hands out again all unacknowledged batches except those `underWay`. */
  rewind(underWay: ReadonlySet<string>): void;
  acknowledged(id: string): void;
  refused(id: string, code: string, detail: string): void;
  /** Ingest may accept the batch later; `rewind` offers it again, unless the source postpones it. */
  later?(id: string, code: string, detail: string): void;
  onWork: (() => void) | null;
}
