/** Patterns over sessions: commands before findings, nodes and hours, similar sessions. Only sessions that the caller may view count. */
import { z } from 'zod';
import { noBody, noParams, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, moment, queryRange, record, texts } from '../../endpoint/fields.js';
import { sessionInfo } from './sessions.js';

/** Bounds the start of sessions; the last thirty days by default. */
const span = z.strictObject({ from: queryRange.from, to: queryRange.to });

const patterns = record({
  from: moment,
  to: moment,
  sessions: z.int(),
  /** Sessions with a finding that was not dismissed as a false alarm. */
  incidents: z.int(),
  /** Sessions whose commands are known. */
  known: z.int(),
  /** Commands that ran before at least two incidents, the most significant first; at most 50. */
  commands: list(
    record({
      /** The program, and the word after it if that is a verb. */
      command: z.string(),
      before: z.int(),
      /** Sessions without a finding in which it ran. */
      others: z.int(),
      /** How many times more often it ran in sessions with a finding. */
      lift: z.number(),
      /** The newest sessions with a finding, at most three. */
      sessions: texts,
    }),
  ),
  nodes: list(record({ node: z.string(), sessions: z.int(), incidents: z.int() })),
  /** Hours of the week in UTC; day 1 is Monday. Hours without sessions are left out. */
  hours: list(record({ day: z.int(), hour: z.int(), sessions: z.int(), incidents: z.int() })),
});
export type SessionPatterns = z.output<typeof patterns>;

export const showPatterns = viewerEndpoint({
  method: 'GET',
  path: '/api/patterns',
  summary:
    'Show patterns over sessions: commands that ran before findings, nodes and hours. Requires the right to read findings; only sessions that the caller may view count.',
  admits: ['user'],
  params: noParams,
  query: span,
  body: noBody,
  answer: patterns,
  errors: ['QUERY_TOO_HEAVY'],
});

const alike = record({
  from: moment,
  to: moment,
  /** The most similar first, at most 20. */
  sessions: list(
    record({
      session: sessionInfo,
      /** Number of commands in both sessions, and in either. */
      shared: z.int(),
      either: z.int(),
      /** Some of the commands in both. */
      commands: texts,
    }),
  ),
});
export type AlikeSessions = z.output<typeof alike>;

export const listAlike = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/alike',
  summary: 'List sessions that ran the same commands as a given one, among those that the caller may view.',
  admits: ['user'],
  params: z.strictObject({ id: z.string() }),
  query: span,
  body: noBody,
  answer: alike,
  errors: ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'],
});
