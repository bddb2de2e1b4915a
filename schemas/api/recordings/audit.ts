/** The audit log, and how access was used: `steno audit`, `steno review`. */
import { z } from 'zod';
import { noBody, noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';
import { sessionIdPattern } from '../../events/rows.js';
import { list, moment, queryInteger, queryRange, queryText, record } from '../../endpoint/fields.js';

/** `AuditRow` of events/rows.ts. */
const auditRow = record({
  id: z.string(),
  at: moment,
  event: z.string(),
  actor: z.string(),
  target: z.string(),
  outcome: z.enum(['success', 'failure']),
  code: z.string(),
  reason: z.string(),
  source_address: z.string(),
  session: z.string(),
  node: z.string(),
  login: z.string(),
  data: z.string(),
});

/** Sessions of a user as a login on a node. */
export const accessUse = record({ user: z.string(), node: z.string(), login: z.string(), last_at: moment, count: z.int() });
export type AccessUse = z.output<typeof accessUse>;

export const listAudit = viewerEndpoint({
  method: 'GET',
  path: '/api/audit',
  summary: 'List rows of the audit log, newest first.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({
    ...queryRange,
    event: z
      .string()
      .regex(/^[a-z][a-z0-9_]*\.([a-z0-9_.]*)$/, 'not an event name')
      .max(64)
      .optional(),
    actor: queryText.optional(),
    outcome: z.enum(['success', 'failure']).optional(),
    /** Rows about this session. */
    session: z.string().regex(sessionIdPattern, 'is not a session id').optional(),
    limit: queryInteger(1, 200).default(50),
  }),
  body: noBody,
  answer: record({ rows: list(auditRow), next: z.string().nullable() }),
  errors: ['QUERY_TOO_HEAVY'],
});

const sessionViews = record({
  session: z.string(),
  node: z.string(),
  login: z.string(),
  viewer: z.string(),
  /** Number of audit rows, including refusals; a row stands for five minutes of viewing. */
  times: z.int(),
  first_at: moment,
  last_at: moment,
  exports: z.int(),
  refusals: z.int(),
});
export type SessionViews = z.output<typeof sessionViews>;

export const listViews = viewerEndpoint({
  method: 'GET',
  path: '/api/views',
  summary:
    'List who opened, followed or exported which session, the last first. Requires the rights to read the audit log and to list the sessions.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({
    from: queryRange.from,
    to: queryRange.to,
    viewer: queryText.optional(),
    session: z.string().regex(sessionIdPattern, 'is not a session id').optional(),
    limit: queryInteger(1, 500).default(200),
  }),
  body: noBody,
  answer: record({ rows: list(sessionViews), truncated: z.boolean() }),
  errors: ['QUERY_TOO_HEAVY'],
});

export const listAccessUse = viewerEndpoint({
  method: 'GET',
  path: '/api/access-use',
  summary: 'List the last session of each user on each node as each login.',
  admits: ['user'],
  params: noParams,
  query: noQuery,
  body: noBody,
  answer: list(accessUse),
  errors: ['QUERY_TOO_HEAVY'],
});
