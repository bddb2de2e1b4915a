/** Messages between the page and its worker. The worker holds the files; the page holds what it shows of them. */
import type { OfflineFile } from '#schemas/offline/page.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { SessionFact } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import type { LogOutcome, Outcome } from '../verify/outcome.js';

export interface OfflineFiles {
  readonly recording: ArrayBuffer;
  readonly events: ArrayBuffer | null;
}

/** Each order is answered by its number, in the order in which orders were sent. */
export type Order =
  | { readonly kind: 'open'; readonly files: OfflineFiles; readonly session: string }
  | { readonly kind: 'check'; readonly cas: readonly string[] }
  | { readonly kind: 'segment'; readonly n: number }
  | { readonly kind: 'file'; readonly name: OfflineFile };

/** `log`: null if the recording names no event log. */
export interface Checked {
  readonly recording: Outcome;
  readonly log: LogOutcome | null;
  /** The log shows no fault so far, but its end is missing. */
  readonly unfinished: boolean;
}

export interface SeenText {
  /** Session time in ms. */
  readonly at: number;
  readonly text: string;
}

/** The readable content of the recording, up to the first altered block. */
export interface Contents {
  readonly header: RecordingHeader;
  /** Session time in ms of the last valid line. */
  readonly duration: number;
  /** Session time in ms of the line before each segment. */
  readonly segments: readonly { readonly start: number }[];
  readonly transcript: readonly SeenText[];
  /** Number of lines that were seen and are not in `transcript`. */
  readonly untold: number;
  readonly facts: readonly SessionFact[];
  readonly events: readonly KernelEventInfo[];
  readonly moreEvents: number;
  readonly exit: string | null;
  readonly digests: Readonly<Partial<Record<OfflineFile, string>>>;
}

export type Answer =
  | { readonly kind: 'opened'; readonly contents: Contents | null; readonly digests: Readonly<Partial<Record<OfflineFile, string>>> }
  | { readonly kind: 'checked'; readonly checked: Checked }
  | { readonly kind: 'segment'; readonly text: string }
  | { readonly kind: 'file'; readonly content: ArrayBuffer };

export type Said =
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string };

export interface Ask {
  readonly id: number;
  readonly order: Order;
}
