/**
 * Parses request input. Every value is bounded by its schema; an unknown or repeated name is an error, so that a mistyped filter never
 * silently widens a result. Tested in query.test.ts.
 */
import type { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isSessionId } from '#schemas/recording/line.js';

/** Throws BAD_REQUEST naming the field, never its value. */
export function parseInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.code === 'unrecognized_keys' ? issue.keys.join(', ').slice(0, 100) : issue?.path.join('.');
  throw new StenoError('BAD_REQUEST', `${where ?? ''}: ${issue?.code === 'unrecognized_keys' ? 'unknown' : (issue?.message ?? 'invalid')}`);
}

/** The session id in a path; a malformed id gets the same answer as an unknown session. */
export function parseSessionId(value: string): string {
  if (!isSessionId(value)) throw new StenoError('SESSION_UNKNOWN');
  return value;
}
