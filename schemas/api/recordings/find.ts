/** Searches in the language of schemas/search: `steno search`, and the search of the page. */
import { z } from 'zod';
import { noBody, noParams, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, queryCursor, queryInteger, record, texts } from '../../endpoint/fields.js';
import { severities } from '../../events/rows.js';
import { searchKinds } from '../../search/fields.js';
import { MAX_SEARCH } from '../../search/parse.js';
import { sessionInfo } from './sessions.js';

const foundHit = record({
  kind: z.enum(searchKinds),
  /** `''` for a hit without a session. */
  session: z.string(),
  /** Wall clock. */
  at: z.int(),
  /** Offset in ms on the session's clock; null if there is none. */
  time: z.number().nullable(),
  user: z.string(),
  node: z.string(),
  login: z.string(),
  /** The text that matched: a line of a screen, a command, a path, an address, ... */
  text: z.string(),
  /** Further details in a few words, such as how a file was opened or why something was refused. */
  detail: z.string(),
  /** Severity of a finding; '' for anything else. */
  severity: z.enum(severities).or(z.literal('')),
  /** For a screen line: lines seen just before and after, at most two each. */
  before: texts,
  after: texts,
  /** Path of the viewer that opens the moment. */
  link: z.string(),
});
export type FoundHit = z.output<typeof foundHit>;

const q = z
  .string()
  .min(1)
  .max(MAX_SEARCH)
  .refine((value) => value.trim() !== '', 'is blank');

const foundSessions = record({
  groups: list(
    record({
      /** Null for hits without a session. */
      session: sessionInfo.nullable(),
      /** Exact up to about ten thousand, within one percent above. */
      count: z.int(),
      first_at: z.int(),
      last_at: z.int(),
      /** Some of the hits: the newest lines, events and findings in turn, newest first. */
      hits: list(foundHit),
    }),
  ),
  next: z.string().nullable(),
});
export type FoundSessions = z.output<typeof foundSessions>;

export const findSessions = viewerEndpoint({
  method: 'GET',
  path: '/api/find',
  summary: 'Search screens, commands, events, findings and the audit log; hits by session.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({
    q,
    before: queryCursor.optional(),
    limit: queryInteger(1, 50).default(20),
    each: queryInteger(1, 20).default(4),
  }),
  body: noBody,
  answer: foundSessions,
  errors: ['QUERY_TOO_HEAVY'],
});

const foundSpans = record({
  /** The session with the newest hit first. */
  sessions: list(record({ session: sessionInfo, /** As in `foundSessions`. */ count: z.int() })),
  next: z.string().nullable(),
});
export type FoundSpans = z.output<typeof foundSpans>;

export const findSpans = viewerEndpoint({
  method: 'GET',
  path: '/api/find/sessions',
  summary: 'The sessions of the same hits, without the hits: users, nodes and times.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({ q, before: queryCursor.optional(), limit: queryInteger(1, 200).default(100) }),
  body: noBody,
  answer: foundSpans,
  errors: ['QUERY_TOO_HEAVY'],
});

const foundHits = record({ hits: list(foundHit), next: z.string().nullable() });
export type FoundHits = z.output<typeof foundHits>;

export const findHits = viewerEndpoint({
  method: 'GET',
  path: '/api/find/hits',
  summary: 'The same hits one by one, newest first.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({ q, before: queryCursor.optional(), limit: queryInteger(1, 100).default(25) }),
  body: noBody,
  answer: foundHits,
  errors: ['QUERY_TOO_HEAVY'],
});

const counted = list(record({ value: z.string(), count: z.int() }));
export const findOverview = viewerEndpoint({
  method: 'GET',
  path: '/api/find/overview',
  summary: 'The same hits counted: by time, user, node, login and kind.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({ q }),
  body: noBody,
  answer: record({
    total: z.int(),
    sessions: z.int(),
    /** Width of a histogram bar in ms. */
    step_ms: z.int(),
    histogram: list(record({ at: z.int(), count: z.int() })),
    facets: record({ user: counted, node: counted, login: counted, kind: counted }),
  }),
  errors: ['QUERY_TOO_HEAVY'],
});
export type FoundOverview = z.output<typeof findOverview.answer>;

/** Fields whose values the page and shells complete. */
export const completedFields = ['user', 'node', 'login', 'cluster', 'namespace', 'pod', 'container', 'image'] as const;

export const findValues = viewerEndpoint({
  method: 'GET',
  path: '/api/find/values',
  summary: 'Values that a field has in sessions that the caller may view, the most frequent first.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({ field: z.enum(completedFields), prefix: z.string().max(255).default('') }),
  body: noBody,
  answer: record({ values: counted }),
  errors: ['QUERY_TOO_HEAVY'],
});

export const findEndpoints = [findSessions, findSpans, findHits, findOverview, findValues] as const;
