/**
 * Which protocols are followed in a stream without a terminal, and how they are recognised: by the name of the
 * subsystem or the program of the exec command. Tested in command.test.ts.
 */
import { parseCommand } from './command.js';
import { observeGit } from './git.js';
import type { Report, StreamKind, StreamObserver } from './observer.js';
import { observeRsync } from './rsync.js';
import { observeScp } from './scp.js';
import { observeSftp } from './sftp.js';

/** The observer for a stream, or `null` if its protocol is none of those followed. `report` must not throw. */
export function observeStream(kind: StreamKind, report: Report): StreamObserver | null {
  // A terminal rewrites the bytes (newlines, echo), so no protocol survives it.
  if (kind.tty) return null;
  if (kind.subsystem !== undefined) return kind.subsystem === 'sftp' ? observeSftp(report) : null;
  if (kind.command === undefined) return null;
  const words = parseCommand(kind.command);
  if (words === null) return null;
  switch (words.program) {
    case 'sftp-server':
      return observeSftp(report);
    case 'scp':
      return observeScp(words.args, report);
    case 'rsync':
      return observeRsync(words.args, report);
    case 'git-upload-pack':
    case 'git-receive-pack':
    case 'git-upload-archive':
      return observeGit(words.program, words.args, report);
    default:
      return null;
  }
}
