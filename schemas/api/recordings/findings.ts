/** Findings of rules, with the evidence and the moment to open. `steno findings`, the page "Findings". */
import { z } from 'zod';
import { noBody, noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, moment, queryInteger, queryRange, queryText, record, texts } from '../../endpoint/fields.js';
import { findingStates, severities, tiers } from '../../events/rows.js';

/** Several values separated by commas. */
const several = <const T extends readonly [string, ...string[]]>(values: T) =>
  z
    .string()
    .max(200)
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(values)).min(1).max(values.length));

const findingInfo = record({
  id: z.string(),
  rule: z.string(),
  rule_version: z.int(),
  title: z.string(),
  severity: z.enum(severities),
  /** `signal`, `alert`, `session`; '' if the rule does not specify one. */
  tier: z.string(),
  techniques: texts,
  /** Why the rule matched, with the deciding values. */
  reason: z.string(),
  /** Advice on what to do next; '' if the rule gives none. */
  advice: z.string(),
  /** '' for a finding without a session. */
  session: z.string(),
  user: z.string(),
  node: z.string(),
  login: z.string(),
  at: moment,
  /** Session time in ms. */
  offset: z.number().nullable(),
  row: z.int().nullable(),
  /** Number of events that prove it. */
  events: z.int(),
  state: z.enum(findingStates),
  /** The latest decision; null if there is none. `by`: a user, or `suppression/ID`. */
  triage: record({ state: z.enum(findingStates), by: z.string(), at: moment, reason: z.string() }).nullable(),
  /** Path of the page that opens the moment; null without a session. */
  link: z.string().nullable(),
});
export type FindingInfo = z.output<typeof findingInfo>;

const findingEvidence = record({
  id: z.string(),
  session: z.string(),
  at: moment,
  offset: z.number(),
  /** Source and kind of the event, as in docs/events.md. */
  source: z.string(),
  kind: z.string(),
  name: z.string(),
  path: z.string(),
  address: z.string(),
  port: z.int().nullable(),
  link: z.string().nullable(),
});
export type FindingEvidence = z.output<typeof findingEvidence>;

/** `missing`: number of events of the evidence that are no longer stored or cannot be shown. */
const findingDetail = record({ finding: findingInfo, evidence: list(findingEvidence), missing: z.int() });
export type FindingDetail = z.output<typeof findingDetail>;

const findingList = record({ findings: list(findingInfo), next: z.string().nullable() });
export type FindingList = z.output<typeof findingList>;

const findingCounts = list(record({ state: z.enum(findingStates), severity: z.enum(severities), count: z.int() }));
export type FindingCounts = z.output<typeof findingCounts>;

export const listFindings = viewerEndpoint({
  method: 'GET',
  path: '/api/findings',
  summary: 'List findings about sessions that the caller may view, newest first.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({
    ...queryRange,
    state: several(findingStates).optional(),
    severity: several(severities).optional(),
    /** By default alert and session, unless a rule is named. */
    tier: several(tiers).optional(),
    rule: queryText.optional(),
    session: queryText.optional(),
    user: queryText.optional(),
    node: queryText.optional(),
    login: queryText.optional(),
    limit: queryInteger(1, 200).default(50),
  }),
  body: noBody,
  answer: findingList,
  errors: ['QUERY_TOO_HEAVY', 'SESSION_UNKNOWN'],
});

export const showFinding = viewerEndpoint({
  method: 'GET',
  path: '/api/findings/:id',
  summary: 'Show a finding with the events that prove it; the view of its session is reported to the authority.',
  admits: ['user'],
  params: z.strictObject({ id: z.string() }),
  query: noQuery,
  body: noBody,
  answer: findingDetail,
  errors: ['NOT_FOUND', 'SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'],
});

export const countFindings = viewerEndpoint({
  method: 'GET',
  path: '/api/finding-counts',
  summary: 'Count findings by state and severity.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({ from: queryRange.from, to: queryRange.to }),
  body: noBody,
  answer: findingCounts,
  errors: ['QUERY_TOO_HEAVY'],
});

export const findingEndpoints = [listFindings, showFinding, countFindings] as const;
