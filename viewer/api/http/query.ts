/**
 * What may stand in a query string, per call. Every value is bounded; an unknown or repeated name is an error, so that
 * a mistyped filter never silently widens a result. Tested in query.test.ts.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { kernelKinds } from '#schemas/kernel/kernel.js';
import { isSessionId } from '#schemas/recording/line.js';
import { sessionKinds, sessionStates } from '#schemas/events/rows.js';

const text = z.string().min(1).max(255);
const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'not a whole number')
    .transform(Number)
    .pipe(z.number().int().min(min).max(max));
const moment = integer(0, 7_258_118_400_000);
const cursor = z.string().min(1).max(2048);
const session = z.string().refine(isSessionId, 'not a session id');

const place = { user: text.optional(), node: text.optional(), login: text.optional() };
const range = { from: moment.optional(), to: moment.optional(), before: cursor.optional() };

export const sessionsQuery = z.strictObject({
  ...place,
  ...range,
  kind: z.enum(sessionKinds).optional(),
  request: text.optional(),
  state: z.enum(sessionStates).optional(),
  limit: integer(1, 200).default(50),
});

export const searchQuery = z.strictObject({
  ...place,
  ...range,
  session: session.optional(),
  q: z
    .string()
    .min(1)
    .max(1000)
    .refine((value) => value.trim() !== '', 'is blank'),
  mode: z.enum(['auto', 'words', 'substring', 'regex']).default('auto'),
  limit: integer(1, 100).default(25),
});

export const auditQuery = z.strictObject({
  ...range,
  event: z
    .string()
    .regex(/^[a-z][a-z0-9_]*\.([a-z0-9_.]*)$/, 'not an event name')
    .max(64)
    .optional(),
  actor: text.optional(),
  outcome: z.enum(['success', 'failure']).optional(),
  limit: integer(1, 200).default(50),
});

export const kernelEventsQuery = z.strictObject({
  kinds: z
    .string()
    .max(255)
    .transform((kinds) => kinds.split(','))
    .pipe(z.array(z.enum(kernelKinds)).min(1))
    .optional(),
  only: z.enum(['changes', 'tree']).optional(),
  after: z
    .string()
    .regex(/^\d{1,10}\.\d{1,10}$/, 'not a place')
    .transform((place) => place.split('.').map(Number))
    .pipe(z.tuple([z.int().max(0xffff_ffff), z.int().max(0xffff_ffff)]))
    .transform(([block, index]) => ({ block, index }))
    .optional(),
  limit: integer(1, 1000).default(200),
});
export const exportQuery = z.strictObject({ format: z.enum(['cast.zst', 'events.zst', 'cast', 'txt', 'json']).default('cast.zst') });
export const openingQuery = z.strictObject({ at: integer(0, 999_999_999_999).optional() });
export const liveQuery = z.strictObject({ after: integer(0, 4_294_967_295).default(0) });
export const noQuery = z.strictObject({});

export const signInBody = z.strictObject({
  token: z
    .string()
    .min(16)
    .max(512)
    .regex(/^[A-Za-z0-9_.~-]+$/),
});

/** Throws BAD_REQUEST naming the field, never its value. */
export function parseInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.code === 'unrecognized_keys' ? issue.keys.join(', ').slice(0, 100) : issue?.path.join('.');
  throw new StenoError('BAD_REQUEST', `${where ?? ''}: ${issue?.code === 'unrecognized_keys' ? 'unknown' : (issue?.message ?? 'invalid')}`);
}

/** The session id in a path; anything else is as unknown as a session that does not exist. */
export function parseSessionId(value: string): string {
  if (!isSessionId(value)) throw new StenoError('SESSION_UNKNOWN');
  return value;
}
