/**
 * Passive observers of streams without a terminal: they see the bytes of both directions and report file operations.
 * They never alter, delay or hold back a byte, and never throw, whatever the bytes are: a stream that
 * stops making sense is given up with one gap, and the recorder's own totals remain. An aid, not a boundary: a user
 * who wants to hide a transfer can encrypt it first or run a protocol of their own over exec.
 *
 * Limits (budget.ts): at most `MAX_OPEN_FILES` files at a time, and at most `MAX_HELD_BYTES` of memory per stream. Not
 * included: one hash state per open file, and the memory that rsync file lists and out-of-order content borrow from
 * pools shared by all streams. Operations beyond the limits become a gap `file_operations`. Tested in ../observer.test.ts
 * and, against the real programs, in sftp.test.ts, clients.test.ts, scp.test.ts, git.test.ts and rsync.test.ts.
 */
import type { FileFact, Gap } from '#schemas/recording/line.js';

/**
 * Directions whose bytes are currently accounted for by facts: files with name, size and digest, requests with their answers.
 * Only in these directions may a recording keep less than everything.
 */
export type Follows = 'in' | 'out' | 'both' | 'neither';

export interface StreamObserver {
  /** Read after each call. Never grows: a direction that is no longer followed is not followed again. */
  readonly follows: Follows;
  /**
   * Client to node. The observer gets bytes before they are passed on, in the order in which they pass, so it never sees
   * a reply before its request. It does not keep the buffer after the call.
   */
  input(bytes: Buffer): void;
  /** Node to client: standard output only, without standard error. */
  output(bytes: Buffer): void;
  /**
   * The channel is closed: files still open are reported as unfinished. Further calls do nothing. Must be called for
   * every observer, because some hold memory from pools that all streams share.
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
