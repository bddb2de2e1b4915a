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
/** Of one user. */
export const MAX_SAVED = 200;
/** With a schedule: of one user, and of all. */
export const MAX_SCHEDULED = 20;
export const MAX_SCHEDULED_ALL = 500;
/** New and old hits that one run may find. */
export const MAX_RUN_HITS = 1_000;
/** Characters of why a run failed. */
const MAX_FAILURE = 1024;
/** Of one report: with the longest names it fits a body. */
export const MAX_REPORTED_HITS = 100;

/** Printable text on one line. */
const searchName = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, 'has characters that cannot be shown');
const searchId = z.string().regex(/^q-[0-9a-z]{12}$/, 'is not the id of a saved search');
/** search: the language of docs/search.md. sql: a SELECT as docs/sql.md has it. */
const savedLanguages = ['search', 'sql'] as const;
export type SavedLanguage = (typeof savedLanguages)[number];

/** It becomes part of an address, which half a surrogate pair cannot. */
const queryText = z
  .string()
  .min(1)
  .max(MAX_SQL)
  .refine((text) => text.trim() !== '', 'is blank')
  .refine((text) => !/\p{Cs}/u.test(text), 'has half a character');

const savedSearch = record({
  id: z.string(),
  owner: z.string(),
  name: z.string(),
  language: z.enum(savedLanguages),
  query: z.string(),
  /** Whoever may read saved searches sees it; each finds what they may view themselves. */
  shared: z.boolean(),
  created_at: moment,
  updated_at: moment,
  /** Null: it runs only when somebody asks. */
  every_ms: z.int().nullable(),
  next_at: moment.nullable(),
  /** When the last scheduled run began that succeeded. */
  ran_at: moment.nullable(),
  /** Hits that webhooks were told of, so far. */
  told: z.int(),
  /** Why the last scheduled run failed; '' where it did not. */
  error: z.string(),
});
export type SavedSearch = z.output<typeof savedSearch>;

export const saveSearch = endpoint({
  method: 'POST',
  path: '/v1/saved-searches',
  summary:
    'Save a search or SQL under a name, or replace the one of this name. Sharing takes `update`, SQL `read` of `sql`. With a schedule, which SQL has none of, webhooks are told of new hits.',
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
    'List the saved searches and SQL of the caller, and with the right to read them those that others share; SQL for who may read `sql`.',
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
  summary: 'Delete a saved search: its owner, or, where it is shared or runs on a schedule, who may delete saved searches.',
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
  /** Who owns it, by what their roles are now: the run finds what they may view. */
  owner: record({ user: z.string(), traits: textsMap, roles: list(roleSchema) }),
  /** Rows from before this moment were looked at, or are no news. */
  from: moment,
  began_at: moment,
});
export type SearchRun = z.output<typeof searchRun>;

export const takeSearchRuns = endpoint({
  method: 'POST',
  path: '/v1/saved-search-runs',
  summary: 'Take the scheduled searches that are due. Each is given to one viewer a period.',
  admits: ['viewer'],
  event: 'search.run',
  params: noParams,
  body: z.strictObject({}),
  answer: list(searchRun),
  errors: [],
});

/** Why a run failed, as `reportSearchRun` takes it: a code of the catalogue, and what is said about it. */
export function failureText({ code, detail }: StenoError): string {
  return (detail === undefined ? code : `${code}: ${detail}`).slice(0, MAX_FAILURE);
}

const hit = z.strictObject({
  /** SHA-256 of what identifies the row. */
  key: z.string().regex(/^[0-9a-f]{64}$/, 'is no hash'),
  kind: z.enum(searchKinds),
  at: moment.min(0),
  /** '' for what belongs to no session. */
  session: sessionId.or(z.literal('')),
  /** Session time in ms; null where it has none. */
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
    'Report what a run found, in one report or several, or why it failed. Each hit is told to webhooks once, however often it is reported.',
  admits: ['viewer'],
  event: 'search.report',
  params: noParams,
  body: z.strictObject({
    id: searchId,
    version: z.int().min(1),
    began_at: moment.min(0),
    /** A code of the catalogue, and what is said about it; null where the run succeeded. */
    error: z
      .string()
      .max(MAX_FAILURE)
      .regex(/^[A-Z][A-Z0-9_]{0,63}(?::|$)/, 'begins with no code')
      .nullable(),
    /** The last report of the run: the next run looks from here on. */
    done: z.boolean(),
    hits: z.array(hit).max(MAX_REPORTED_HITS),
  }),
  /** Hits that had not been reported before. */
  answer: record({ fresh: z.int() }),
  errors: [],
});

/** What a webhook is told: where the new hits are, and nothing of what was recorded. */
export interface SearchHitNotice {
  readonly search: { readonly id: string; readonly name: string; readonly owner: string; readonly query: string };
  readonly count: number;
  /** The newest of them. */
  readonly hits: readonly Omit<SearchRunHit, 'key'>[];
}

export const savedSearchEndpoints = [saveSearch, listSavedSearches, deleteSavedSearch, takeSearchRuns, reportSearchRun] as const;
