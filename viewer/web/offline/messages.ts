/** What the page and its worker say to each other. The worker has the files; the page has what is shown of them. */
import type { OfflineFile } from '#schemas/offline/page.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { SessionFact } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import type { LogOutcome, Outcome } from '../verify/outcome.js';

export interface OfflineFiles {
  readonly recording: ArrayBuffer;
  readonly events: ArrayBuffer | null;
}

/** Each order is answered by its number, in the order of orders. */
export type Order =
  | { readonly kind: 'open'; readonly files: OfflineFiles; readonly session: string }
  | { readonly kind: 'check'; readonly cas: readonly string[] }
  | { readonly kind: 'segment'; readonly n: number }
  | { readonly kind: 'file'; readonly name: OfflineFile };

/** `log`: null where the recording names none. */
export interface Checked {
  readonly recording: Outcome;
  readonly log: LogOutcome | null;
  /** The log shows no fault, and its end is not there. */
  readonly unfinished: boolean;
}

export interface SeenText {
  /** Session time in ms. */
  readonly at: number;
  readonly text: string;
}

/** What can be read of the recording, as far as nothing in it was found changed. */
export interface Contents {
  readonly header: RecordingHeader;
  /** Session time in ms of the last line that counts. */
  readonly duration: number;
  /** Session time in ms of the line before each. */
  readonly segments: readonly { readonly start: number }[];
  readonly transcript: readonly SeenText[];
  /** Lines that were seen and are not in `transcript`. */
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
