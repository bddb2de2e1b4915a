/**
 * A best_effort session whose recording could not begin. It takes everything and keeps nothing; the audit row that says
 * so was written by whoever made it. Tested in ../spool/spool.test.ts.
 */
import type { StenoError } from '#schemas/base/errors.js';
import type { SessionRecorder } from './recorder.js';

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
  exit(): void {}
  onFailure(callback: (error: StenoError) => void): void {
    process.nextTick(callback, this.#failure);
  }
  async close(): Promise<void> {}
}
