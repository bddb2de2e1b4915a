/** The search part of the event store's contract. The store parses each query at its edge. */
import { z } from 'zod';
import type { AuditRow, EventRow, FindingRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import type { Condition } from '#schemas/policy/session-condition.js';
import type { SearchExpression } from '#schemas/search/expression.js';

/** The rows that the user may find. */
export interface SearchScope {
  /** Restricts to rows of matching sessions. If omitted: rows of every session, and rows without a session. */
  readonly visible?: Condition | undefined;
  /** Restricts to this user's sessions. */
  readonly user?: string | undefined;
  /** Whether to include the audit log. */
  readonly audit: boolean;
}

interface Search {
  readonly expression: SearchExpression;
  readonly scope: SearchScope;
}

export interface SearchHits extends Search {
  /** 1 to 1000. */
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface SearchSessions extends Search {
  /** 1 to 200. */
  readonly limit: number;
  /** Hits per session, 0 to 20. */
  readonly each: number;
  readonly cursor?: string | undefined;
}

export type SearchOverviewQuery = Search;

/** Values of a column of `sessions` that begin with this text. */
export interface SearchValues {
  readonly field: 'user' | 'node' | 'login' | 'cluster' | 'namespace' | 'pod' | 'container' | 'image';
  readonly prefix: string;
  readonly scope: SearchScope;
}

/** A row that was found. In `sessions`, the search looks at the command. */
export type FoundRow =
  | { readonly table: 'screen'; readonly row: ScreenRow }
  | { readonly table: 'sessions'; readonly row: SessionRow }
  | { readonly table: 'events'; readonly row: EventRow }
  | { readonly table: 'findings'; readonly row: FindingRow }
  | { readonly table: 'audit'; readonly row: AuditRow };

export interface FoundSession {
  /** `''`: rows that belong to no session. */
  readonly session: string;
  readonly count: number;
  readonly first_at: number;
  readonly last_at: number;
  /** The newest of each table in turn, newest first. */
  readonly hits: readonly FoundRow[];
}

export interface Counted {
  readonly value: string;
  readonly count: number;
}

/** Bars of a histogram. */
export const MAX_HISTOGRAM = 120;

export interface SearchOverview {
  readonly total: number;
  readonly sessions: number;
  /** The width of a bar. */
  readonly step_ms: number;
  /** Non-empty bars, oldest first; `at`: the start of the bar. */
  readonly histogram: readonly { readonly at: number; readonly count: number }[];
  /** The most frequent values. */
  readonly facets: Readonly<Record<'user' | 'node' | 'login' | 'kind', readonly Counted[]>>;
}

/** A value built by the parser and the policy, never by a request. */
const made = <T>() => z.custom<T>((value) => typeof value === 'object' && value !== null);
const search = {
  expression: made<SearchExpression>(),
  scope: made<SearchScope>(),
};
const cursor = z.string().max(2048).optional();
export const searchHits = z.strictObject({ ...search, limit: z.int().min(1).max(1000), cursor });
export const searchSessions = z.strictObject({ ...search, limit: z.int().min(1).max(200), each: z.int().min(0).max(20), cursor });
export const searchOverviewQuery = z.strictObject(search);
export const searchValues = z.strictObject({
  field: z.enum(['user', 'node', 'login', 'cluster', 'namespace', 'pod', 'container', 'image']),
  prefix: z.string().max(255),
  scope: search.scope,
});
