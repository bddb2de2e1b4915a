/**
 * Saved searches and saved SQL, and the runs of searches that have a schedule (docs/decisions/0125-saved-searches.md, 0136-saved-sql.md).
 * `steno search --save`, `steno sql --save`, `steno searches`.
 */
import { z } from 'zod';
import { endpoint, noAnswer, noBody, noParams, relayedSignedIn } from '../../endpoint/endpoint.js';
import { list, moment, record, textsMap } from '../../endpoint/fields.js';
import type { StenoError } from '../../base/errors.js';
import { roleSchema } from '../../policy/role.js';
import { searchKinds } from '../../search/fields.js';
import { MAX_SEARCH } from '../../search/parse.js';
import { MAX_SQL } from '../../sql/bounds.js';
import { offsetField, sessionId } from './notes.js';

const MIN_EVERY_MS = 60_000;
const MAX_EVERY_MS = 7 * 86_400_000;
/** Per user. */
export const MAX_SAVED = 200;
/** Searches with a schedule: per user, and in all. */
export const MAX_SCHEDULED = 20;
export const MAX_SCHEDULED_ALL = 500;
/** New and old hits that one run may find. */
export const MAX_RUN_HITS = 1_000;
/** Most characters in the reason for a failed run. */
const MAX_FAILURE = 1024;
/** Per report, so that it fits a body even with the longest names. */
export const MAX_REPORTED_HITS = 100;

/** Printable text on one line. */
const searchName = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, 'has characters that cannot be shown');
const searchId = z.string().regex(/^q-[0-9a-z]{12}$/, 'is not the id of a saved search');
/** search: the language of docs/search.md. sql: a SELECT as in docs/sql.md. */
const savedLanguages = ['search', 'sql'] as const;
export type SavedLanguage = (typeof savedLanguages)[number];

/** Becomes part of an address, so a lone surrogate is refused. */
const queryText = z
  .string()
  .min(1)
  .max(MAX_SQL)
  .refine((text) => text.trim() !== '', 'is blank')
  .refine((text) => !/\p{Cs}/u.test(text), 'contains a lone surrogate');

const savedSearch = record({
  id: z.string(),
  owner: z.string(),
  name: z.string(),
  language: z.enum(savedLanguages),
  query: z.string(),
  /** Visible to everybody who may read saved searches; each user finds only what they may view. */
  shared: z.boolean(),
  created_at: moment,
  updated_at: moment,
  /** Null: it runs only on request. */
  every_ms: z.int().nullable(),
  next_at: moment.nullable(),
  /** Start of the last scheduled run that succeeded. */
  ran_at: moment.nullable(),
  /** Hits announced to webhooks so far. */
  told: z.int(),
  /** Why the last scheduled run failed; '' if it succeeded. */
  error: z.string(),
});
export type SavedSearch = z.output<typeof savedSearch>;

export const saveSearch = endpoint({
  method: 'POST',
  path: '/v1/saved-searches',
  summary:
    'Save a search or SQL under a name, or replace the one of this name. Sharing requires `update`, SQL requires `read` of `sql`. With a schedule, which SQL cannot have, webhooks are notified of new hits.',
  admits: ['search:create', 'viewer'],
  relayed: { ...relayedSignedIn, bodyLimit: 131_072 },
  event: 'search.save',
  params: noParams,
  body: z
    .strictObject({
      name: searchName,
      language: z.enum(savedLanguages).default('search'),
      query: queryText,
      shared: z.boolean().default(false),
      every_ms: z.int().min(MIN_EVERY_MS).max(MAX_EVERY_MS).nullable().default(null),
    })
    .refine(({ language, query }) => language === 'sql' || query.length <= MAX_SEARCH, 'query: is longer than a search may be')
    .refine(({ language, every_ms: every }) => language === 'search' || every === null, 'every_ms: SQL has no schedule'),
  answer: savedSearch,
  errors: ['TOO_MANY', 'USER_UNKNOWN'],
});

export const listSavedSearches = endpoint({
  method: 'GET',
  path: '/v1/saved-searches',
  summary:
    'List the saved searches and SQL of the caller and, with the right to read them, those that others share; SQL only for users who may read `sql`.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'search.list',
  params: noParams,
  body: noBody,
  answer: list(savedSearch),
  errors: [],
});

export const deleteSavedSearch = endpoint({
  method: 'DELETE',
  path: '/v1/saved-searches/:name',
  summary: 'Delete a saved search: for its owner or, if it is shared or runs on a schedule, for users who may delete saved searches.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'search.delete',
  params: z.strictObject({ name: searchId }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

const searchRun = record({
  id: z.string(),
  version: z.int(),
  query: z.string(),
  /** The owner with their current roles: the run finds what they may view. */
  owner: record({ user: z.string(), traits: textsMap, roles: list(roleSchema) }),
  /** Rows from before this moment were searched already, or are too old to announce. */
  from: moment,
  began_at: moment,
});
export type SearchRun = z.output<typeof searchRun>;

export const takeSearchRuns = endpoint({
  method: 'POST',
  path: '/v1/saved-search-runs',
  summary: 'Take the scheduled searches that are due. Each is given to one viewer per period.',
  admits: ['viewer'],
  event: 'search.run',
  params: noParams,
  body: z.strictObject({}),
  answer: list(searchRun),
  errors: [],
});

/** The reason for a failed run, as `reportSearchRun` expects it: an error code and its detail. */
export function failureText({ code, detail }: StenoError): string {
  return (detail === undefined ? code : `${code}: ${detail}`).slice(0, MAX_FAILURE);
}

const hit = z.strictObject({
  /** SHA-256 of the row's identity. */
  key: z.string().regex(/^[0-9a-f]{64}$/, 'is not a hash'),
  kind: z.enum(searchKinds),
  at: moment.min(0),
  /** '' for a row without a session. */
  session: sessionId.or(z.literal('')),
  /** Session time in ms; null if there is none. */
  time: offsetField.nullable(),
  user: z.string().max(255),
  node: z.string().max(255),
  login: z.string().max(255),
});
export type SearchRunHit = z.output<typeof hit>;

export const reportSearchRun = endpoint({
  method: 'POST',
  path: '/v1/saved-search-results',
  summary:
    'Report the hits of a run, in one report or several, or why it failed. Webhooks are notified of each hit once, however often it is reported.',
  admits: ['viewer'],
  event: 'search.report',
  params: noParams,
  body: z.strictObject({
    id: searchId,
    version: z.int().min(1),
    began_at: moment.min(0),
    /** An error code and its detail; null if the run succeeded. */
    error: z
      .string()
      .max(MAX_FAILURE)
      .regex(/^[A-Z][A-Z0-9_]{0,63}(?::|$)/, 'does not begin with an error code')
      .nullable(),
    /** Set on the last report of the run: the next run starts from here. */
    done: z.boolean(),
    hits: z.array(hit).max(MAX_REPORTED_HITS),
  }),
  /** Hits that had not been reported before. */
  answer: record({ fresh: z.int() }),
  errors: [],
});

/** Data for webhooks: where the new hits are, without recorded content. */
export interface SearchHitNotice {
  readonly search: { readonly id: string; readonly name: string; readonly owner: string; readonly query: string };
  readonly count: number;
  /** The newest of them. */
  readonly hits: readonly Omit<SearchRunHit, 'key'>[];
}

export const savedSearchEndpoints = [saveSearch, listSavedSearches, deleteSavedSearch, takeSearchRuns, reportSearchRun] as const;
