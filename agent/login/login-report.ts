/**
 * Reads su(1)'s messages about a login, which are not output of the session, through a pipe of the node service.
 *
 * The pipe has no name in any folder. The script that runs su(1) as root opens it through this process's descriptors. The
 * account's first shell holds it briefly, and may keep it: a pipe holds only 64 KiB, of which MAX_REPORT are read. Tested in
 * test/agent/login.test.ts.
 */
import { closeSync, readSync } from 'node:fs';
import { openPipe } from '../helper/descriptors.js';

/** Written by the account's first shell: PAM and su(1) have accepted the login. */
export const STARTED = 'steno-session-started';
const MAX_REPORT = 4096;

export type LoginReport =
  | { readonly kind: 'ran'; /** su(1) ended with this signal rather than a status. */ readonly signalled: boolean }
  /** PAM or su(1) refused the login; `said` is shown to the user. */
  | { readonly kind: 'refused'; readonly said: string };

export class ReportPipe {
  readonly #ends: readonly [read: number, write: number];
  #report: LoginReport | undefined;

  /** Throws if no descriptor is available. */
  constructor() {
    this.#ends = openPipe();
  }

  /** For a child of this process that runs as its user; valid until `read`. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#ends[1]}`;
  }

  /** Returns everything written so far and closes the pipe. */
  read(): LoginReport {
    if (this.#report !== undefined) return this.#report;
    const buffer = Buffer.alloc(MAX_REPORT);
    let length = 0;
    try {
      length = readSync(this.#ends[0], buffer);
    } catch {
      // EAGAIN: nothing was written.
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
