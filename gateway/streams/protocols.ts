/**
 * Chooses the observer for a stream without a terminal by the name of the subsystem or the program of the exec command.
 * Tested in observing/command.test.ts.
 */
import type { Budget } from './observing/budget.js';
import { parseCommand } from './observing/command.js';
import type { CommandWords } from './observing/command.js';
import { observeGit } from './git.js';
import type { Report, StreamKind, StreamObserver } from './observing/observer.js';
import { observeRsync } from './rsync/rsync.js';
import { observeScp } from './scp.js';
import { observeSftp } from './sftp/sftp.js';

/**
 * The observer for a stream, or `null` if its protocol is not followed. `report` must not throw. `budget`: shared by the
 * streams of one connection (`connectionBudget`); by default the stream has its own.
 *
 * A command that may run a program other than the one it names is observed for any facts it gives, but its observer follows
 * neither direction, so everything is recorded.
 */
export function observeStream(kind: StreamKind, report: Report, budget?: Budget): StreamObserver | null {
  // A terminal rewrites the bytes (newlines, echo), so no protocol survives it.
  if (kind.tty) return null;
  if (kind.subsystem !== undefined) return kind.subsystem === 'sftp' ? observeSftp(report, budget) : null;
  if (kind.command === undefined) return null;
  const words = parseCommand(kind.command);
  if (words === null) return null;
  const observer = observeProgram(words, report, budget);
  return observer === null || words.plain ? observer : new Doubted(observer);
}

function observeProgram({ program, args }: CommandWords, report: Report, budget: Budget | undefined): StreamObserver | null {
  switch (program) {
    case 'sftp-server':
      return observeSftp(report, budget);
    case 'scp':
      return observeScp(args, report);
    case 'rsync':
      return observeRsync(args, report);
    case 'git-upload-pack':
    case 'git-receive-pack':
    case 'git-upload-archive':
      return observeGit(program, args, report);
    default:
      return null;
  }
}

class Doubted implements StreamObserver {
  readonly follows = 'neither';
  private readonly observer: StreamObserver;

  constructor(observer: StreamObserver) {
    this.observer = observer;
  }

  input(bytes: Buffer): void {
    this.observer.input(bytes);
  }

  output(bytes: Buffer): void {
    this.observer.output(bytes);
  }

  end(): void {
    this.observer.end();
  }
}
