/** Two sessions side by side: their commands aligned, and the differences in their output. Offsets are ms of session time. */
import { z } from 'zod';
import { noBody, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, record } from '../../endpoint/fields.js';
import { sessionInfo } from './sessions.js';

const comparedCommand = record({
  at: z.number(),
  text: z.string(),
  exit: z.string().nullable(),
  /** ms; null: unknown. */
  lasted: z.number().nullable(),
});
export type ComparedCommand = z.output<typeof comparedCommand>;

/** `both`: in both outputs. */
const outputSides = ['both', 'left', 'right'] as const;
const outputLine = record({ side: z.enum(outputSides), text: z.string() });
export type OutputLine = z.output<typeof outputLine>;

const comparedRow = record({
  /** `same`: the same command; `changed`: the same program with other arguments in the same place; otherwise a command of one side only. */
  kind: z.enum(['same', 'changed', 'left', 'right']),
  /** Null on the side without the command. */
  left: comparedCommand.nullable(),
  right: comparedCommand.nullable(),
  /** `cut`: too much output to compare. `one`: a command of one side only. */
  output: z.enum(['same', 'differs', 'cut', 'one']),
  /** If the outputs differ: the differing lines with some lines of context. */
  lines: list(outputLine),
  /** Differing lines that are not in `lines`. */
  more: z.int(),
});
export type ComparedRow = z.output<typeof comparedRow>;

const comparison = record({
  left: sessionInfo,
  right: sessionInfo,
  rows: list(comparedRow),
  /** The offset up to which each is compared; null: up to the end of the stored data. */
  until: record({ left: z.number().nullable(), right: z.number().nullable() }),
});
export type Comparison = z.output<typeof comparison>;

export const compareSessions = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/compare/:other',
  summary: 'Compare two sessions: their commands aligned, with the differences in their output. Requires the right to view both.',
  admits: ['user'],
  params: z.strictObject({ id: z.string(), other: z.string() }),
  query: z.strictObject({}),
  body: noBody,
  answer: comparison,
  errors: ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'],
});
