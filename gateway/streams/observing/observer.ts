/**
 * Passive observers of streams without a terminal: they see the bytes of both directions and report what happened
 * to files. They never alter, delay or hold back a byte, and never throw, whatever the bytes are: a stream that
 * stops making sense is given up with one gap, and the recorder's own totals remain. An aid, not a boundary: a user
 * who wants to hide a transfer can encrypt it first or write his own protocol over exec.
 *
 * Limits (budget.ts): at most `MAX_HELD_BYTES` of memory a stream, beside one hash state for each open file, what a
 * file list of rsync and content out of order borrow from pools that all streams share; at most `MAX_OPEN_FILES` files at a time. What is
 * over is a gap `file_operations`. Tested in ../observer.test.ts and, against the real programs, in sftp.test.ts,
 * clients.test.ts, scp.test.ts, git.test.ts and rsync.test.ts.
 */
import type { FileFact, Gap } from '#schemas/recording/line.js';

/**
 * Directions whose bytes facts account for at this moment: files with name, size and digest, requests with their answers. Only
 * there may a recording keep less than everything.
 */
export type Follows = 'in' | 'out' | 'both' | 'neither';

export interface StreamObserver {
  /** Asked after each call. Never grows: what was lost once is not found again. */
  readonly follows: Follows;
  /**
   * Client to node. Bytes are shown to the observer before they are passed on, in the order in which they pass:
   * a reply is then never seen before its request. The buffer is not kept after the call.
   */
  input(bytes: Buffer): void;
  /** Node to client: standard output only, without standard error. */
  output(bytes: Buffer): void;
  /**
   * The channel is closed: what is still open is reported as unfinished. Further calls do nothing. Must be called
   * once for every observer: some hold a part of what all streams share.
   */
  end(): void;
}

export interface StreamKind {
  readonly subsystem?: string;
  readonly command?: string;
  readonly tty: boolean;
}

/** Called while `input`, `output` or `end` runs, and must not throw. */
export type Report = (fact: FileFact | { readonly gap: Gap }) => void;
