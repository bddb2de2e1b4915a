/**
 * What an engine's error means to a caller: the code of the catalogue, and whether to try again.
 */
import { StenoError } from '#schemas/base/errors.js';

/** Numbers from ClickHouse `src/Common/ErrorCodes.cpp`. */
const tooHeavy = new Set(['158', '159', '160', '173', '202', '241', '307', '396']);
const badExpression = new Set(['427', '583']);

export function engineError(error: unknown): StenoError {
  if (error instanceof StenoError) return error;
  if (isEngineComplaint(error)) {
    if (tooHeavy.has(error.code)) return new StenoError('QUERY_TOO_HEAVY', error.type, { cause: error });
    if (badExpression.has(error.code)) return new StenoError('BAD_REQUEST', 'not a regular expression', { cause: error });
    return new StenoError('STORE_UNAVAILABLE', `${error.type ?? 'engine'} (${error.code})`, { cause: error });
  }
  return new StenoError('STORE_UNAVAILABLE', error instanceof Error ? error.message : 'the engine failed', { cause: error });
}

/** An insert that runs out of memory or time may succeed later; it is never the caller's fault. */
export function insertError(error: unknown): StenoError {
  const mapped = engineError(error);
  return mapped.code === 'QUERY_TOO_HEAVY' ? new StenoError('STORE_UNAVAILABLE', mapped.detail, { cause: error }) : mapped;
}

/** In a person's own SQL every complaint of the engine is about that SQL, and its text is the help. */
export function sqlError(error: unknown): StenoError {
  const mapped = engineError(error);
  if (mapped.code === 'STORE_UNAVAILABLE' && isEngineComplaint(mapped.cause)) {
    return new StenoError('BAD_REQUEST', mapped.cause.message.slice(0, 500), { cause: error });
  }
  return mapped;
}

interface EngineComplaint extends Error {
  /** Decimal digits. */
  readonly code: string;
  readonly type: string | undefined;
}

/** By shape: the client and the in-process engine each bring a class of their own for it. */
function isEngineComplaint(error: unknown): error is EngineComplaint {
  return error instanceof Error && 'type' in error && 'code' in error && typeof error.code === 'string' && /^\d+$/.test(error.code);
}
