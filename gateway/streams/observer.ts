/**
 * Passive observers of streams without a terminal: they see the bytes of both directions and report what happened
 * to files. They never alter, delay or hold back a byte, and never throw, whatever the bytes are: a stream that
 * stops making sense is given up with one gap, and the recorder's own totals remain. An aid, not a boundary: a user
 * who wants to hide a transfer can encrypt it first or write his own protocol over exec.
 *
 * Limits: at most `MAX_HELD_BYTES` of memory a stream, beside one hash state for each open file; at most
 * `MAX_OPEN_FILES` files at a time. What is over is a gap `file_operations`. Tested in observer.test.ts and, against
 * the real programs, in sftp.test.ts, scp.test.ts, git.test.ts and rsync.test.ts.
 */
import type { FileFact, Gap } from '#schemas/recording/line.js';
import { parseCommand } from './command.js';
import { observeGit } from './git.js';
import { observeRsync } from './rsync.js';
import { observeScp } from './scp.js';
import { observeSftp } from './sftp.js';

export interface StreamObserver {
  /**
   * Client to node. Bytes are shown to the observer before they are passed on, in the order in which they pass:
   * a reply is then never seen before its request. The buffer is not kept after the call.
   */
  input(bytes: Buffer): void;
  /** Node to client: standard output only, without standard error. */
  output(bytes: Buffer): void;
  /** The channel is closed: what is still open is reported as unfinished. Further calls do nothing. */
  end(): void;
}

export interface StreamKind {
  readonly subsystem?: string;
  readonly command?: string;
  readonly tty: boolean;
}

export type Report = (fact: FileFact | { readonly gap: Gap }) => void;

/** The observer for a stream, or `null` if its protocol is none of those followed. `report` must not throw. */
export function observeStream(kind: StreamKind, report: Report): StreamObserver | null {
  // A terminal rewrites the bytes (newlines, echo), so no protocol survives it.
  if (kind.tty) return null;
  if (kind.subsystem !== undefined) return kind.subsystem === 'sftp' ? observeSftp(report) : null;
  if (kind.command === undefined) return null;
  const words = parseCommand(kind.command);
  if (words === null) return null;
  switch (words.program) {
    case 'sftp-server': return observeSftp(report);
    case 'scp': return observeScp(words.args, report);
    case 'rsync': return observeRsync(words.args, report);
    case 'git-upload-pack': case 'git-receive-pack': case 'git-upload-archive':
      return observeGit(words.program, words.args, report);
    default: return null;
  }
}
