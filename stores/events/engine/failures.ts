/** Maps an engine's errors to catalogue codes, which tell whether to retry. */
import { StenoError } from '#schemas/base/errors.js';

/** Numbers from ClickHouse `src/Common/ErrorCodes.cpp`. */
const tooHeavy = new Set(['158', '159', '160', '173', '202', '241', '307', '396']);
const badExpression = new Set(['427', '583']);
/** Errors found while a statement is parsed and resolved, before any row is read: syntax, names, types, aggregates. */
const aboutStatement = new Set(['42', '43', '46', '47', '53', '60', '62', '63', '179', '184', '207', '215', '258', '352', '386', '403']);

export function engineError(error: unknown): StenoError {
  if (error instanceof StenoError) return error;
  if (isEngineComplaint(error)) {
    if (tooHeavy.has(error.code)) return new StenoError('QUERY_TOO_HEAVY', error.type, { cause: error });
    if (badExpression.has(error.code)) return new StenoError('BAD_REQUEST', 'not a regular expression', { cause: error });
    return new StenoError('STORE_UNAVAILABLE', `${error.type ?? 'engine'} (${error.code})`, { cause: error });
  }
  return new StenoError('STORE_UNAVAILABLE', error instanceof Error ? error.message : 'the engine failed', { cause: error });
}

/** An insert that runs out of memory or time may succeed later and is never the caller's fault. */
export function insertError(error: unknown): StenoError {
  const mapped = engineError(error);
  return mapped.code === 'QUERY_TOO_HEAVY' ? new StenoError('STORE_UNAVAILABLE', mapped.detail, { cause: error }) : mapped;
}

/**
 * In a user's own SQL every engine error is about that SQL, and its text helps the user. `scoped`: the user does not see every
 * row; then only errors about the statement itself are passed on, because others may quote values of hidden rows.
 */
export function sqlError(error: unknown, scoped: boolean): StenoError {
  const mapped = engineError(error);
  if (mapped.code === 'STORE_UNAVAILABLE' && isEngineComplaint(mapped.cause)) {
    const { code, type, message } = mapped.cause;
    const detail = scoped && !aboutStatement.has(code) ? `the engine cannot evaluate it: ${type ?? code}` : message.slice(0, 500);
    return new StenoError('BAD_REQUEST', detail, { cause: error });
  }
  return mapped;
}

interface EngineComplaint extends Error {
  /** Decimal digits. */
  readonly code: string;
  readonly type: string | undefined;
}

/** Recognized by shape: the client and the in-process engine use different classes. */
function isEngineComplaint(error: unknown): error is EngineComplaint {
  return error instanceof Error && 'type' in error && 'code' in error && typeof error.code === 'string' && /^\d+$/.test(error.code);
}
