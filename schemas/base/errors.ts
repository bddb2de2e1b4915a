/**
 * The error catalogue: every failure that users can meet has its code here, and only here.
 *
 * A code is never reused and never changes its meaning; `docs/errors.md` explains each, and
 * `test/architecture/errors.test.ts` compares the two both ways. `exit` is the exit code of the `steno`
 * command; `status` the HTTP status; `retryable` says whether the same call may succeed unchanged later.
 */
import type { ErrorEntry } from './error-entry.js';
import { serviceErrors } from './service-errors.js';
import { sessionErrors } from './session-errors.js';

export type { ErrorEntry };

export const errorCatalogue = { ...sessionErrors, ...serviceErrors } as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorCatalogue;

/** An error with a code from the catalogue. `detail` names the thing it happened to; never a secret. */
export class StenoError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, detail?: string, options?: { cause?: unknown }) {
    super(detail === undefined ? errorCatalogue[code].message : `${errorCatalogue[code].message}: ${detail}`, options);
    this.name = 'StenoError';
    this.code = code;
    this.detail = detail;
  }

  get entry(): ErrorEntry {
    return errorCatalogue[this.code];
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code);
}
