/**
 * A best_effort session whose recording could not begin. It accepts everything and keeps nothing; its creator has written
 * the audit row that says so. Tested in ../spool/spool.test.ts.
 */
import type { StenoError } from '#schemas/base/errors.js';
import type { History, SessionRecorder } from './recorder.js';

export class UnrecordedSession implements SessionRecorder {
  readonly session: string;
  readonly #failure: StenoError;

  constructor(session: string, failure: StenoError) {
    this.session = session;
    this.#failure = failure;
  }

  output(): boolean {
    return true;
  }
  input(): boolean {
    return true;
  }
  typist(): void {}
  history(): History {
    return { lines: Buffer.alloc(0), whole: false, held: Buffer.alloc(0) };
  }
  onReady(callback: () => void): void {
    process.nextTick(callback);
  }
  follows(): void {}
  resize(): void {}
  fact(): void {}
  gap(): void {}
  logEvents(): boolean {
    return false;
  }
  participant(): void {}

  marker(): void {}
  exit(): void {}
  onFailure(callback: (error: StenoError) => void): void {
    process.nextTick(callback, this.#failure);
  }
  async close(): Promise<void> {}
}
