/**
 * What su(1) says of a login, which is no output of the session: read through a pipe of the node service.
 *
 * The pipe has no name in any folder. The script that runs su(1) as root opens it through this process's descriptors;
 * the first shell of the account holds it for a moment, and may keep it: a pipe takes 64 KiB and no more, and of those
 * MAX_REPORT count. Tested in test/agent/login.test.ts.
 */
import { closeSync, readSync } from 'node:fs';
import { openPipe } from '../helper/descriptors.js';

/** Said by the account's first shell: PAM and su(1) have let it in. */
export const STARTED = 'steno-session-started';
const MAX_REPORT = 4096;

export type LoginReport =
  | { readonly kind: 'ran'; /** What su(1) ended with was the signal and not a status. */ readonly signalled: boolean }
  /** PAM or su(1) let nobody in; `said` is for the user. */
  | { readonly kind: 'refused'; readonly said: string };

export class ReportPipe {
  readonly #ends: readonly [read: number, write: number];
  #report: LoginReport | undefined;

  /** Throws where no descriptor can be had. */
  constructor() {
    this.#ends = openPipe();
  }

  /** For a child of this process that runs as its user; good until `read`. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#ends[1]}`;
  }

  /** What was said so far; the pipe is gone afterwards. */
  read(): LoginReport {
    if (this.#report !== undefined) return this.#report;
    const buffer = Buffer.alloc(MAX_REPORT);
    let length = 0;
    try {
      length = readSync(this.#ends[0], buffer);
    } catch {
      // EAGAIN: nothing was said.
    }
    for (const end of this.#ends) closeSync(end);
    this.#report = parse(buffer.toString('utf8', 0, length));
    return this.#report;
  }
}

function parse(text: string): LoginReport {
  const at = text.indexOf(`${STARTED}\n`);
  if (at < 0)
    return {
      kind: 'refused',
      said: text
        .replace(/[^ -~\n]/g, '?')
        .trim()
        .split('\n')
        .join('; '),
    };
  return { kind: 'ran', signalled: text.slice(at + STARTED.length + 1).trim() !== '' };
}
