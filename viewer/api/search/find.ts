/**
 * Searches in the query language of schemas/search. Hits show content of recordings, so a search requires the right to view; hits in
 * the audit log require the right to read the audit log. Tested in find.test.ts.
 */
import type { FoundHits, FoundOverview, FoundSessions, FoundSpans, completedFields } from '#schemas/api/recordings/find.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { SearchExpression } from '#schemas/search/expression.js';
import { escapePattern } from '#schemas/search/expression.js';
import { SearchError } from '#schemas/search/lexer.js';
import { parseSearch } from '#schemas/search/parse.js';
import type { EventStore } from '#stores/events/contract.js';
import type { SearchScope } from '#stores/events/search-contract.js';
import { readingVerdict } from '../access/access.js';
import type { Access, Viewer } from '../access/access.js';
import type { Sessions } from '../sessions/sessions.js';
import { hitsOf } from './found.js';

export interface FindParts {
  readonly events: EventStore;
  readonly access: Access;
  readonly sessions: Pick<Sessions, 'info'>;
  readonly clock: () => number;
}

/** Throws BAD_REQUEST with the position of the error. */
export function expressionOf(q: string, clock: () => number): SearchExpression {
  try {
    return parseSearch(q, clock());
  } catch (error) {
    if (error instanceof SearchError) throw new StenoError('BAD_REQUEST', `q: ${error.message} (at character ${error.at + 1})`);
    throw error;
  }
}

/** The rows that a viewer may find. Throws ACCESS_DENIED. */
export function scopeOf(access: Access, viewer: Viewer): SearchScope {
  const audit = readingVerdict(viewer, 'audit').allowed;
  const scope = access.narrow(viewer, 'view', undefined);
  switch (scope.kind) {
    case 'any':
      return { audit };
    case 'user':
      return { audit, user: scope.user };
    case 'each':
      return { audit, user: scope.user, visible: scope.visible };
    case 'nobody':
      throw new StenoError('ACCESS_DENIED');
  }
}

export async function findBySession(
  { events, access, sessions, clock }: FindParts,
  viewer: Viewer,
  { q, before, limit, each }: { readonly q: string; readonly before?: string | undefined; readonly limit: number; readonly each: number },
): Promise<FoundSessions> {
  const [expression, scope] = [expressionOf(q, clock), scopeOf(access, viewer)];
  const page = await events.searchBySession({ expression, scope, limit, each, cursor: before });
  const infos = await infosOf(
    { events, sessions },
    scope,
    page.rows.map(({ session }) => session),
  );
  const hits = await hitsOf(
    events,
    page.rows.flatMap((row) => row.hits),
    q,
  );
  let from = 0;
  const groups = page.rows.map(({ session, count, first_at, last_at, hits: own }) => {
    const group = { session: infos.get(session) ?? null, count, first_at, last_at, hits: hits.slice(from, from + own.length) };
    from += own.length;
    return group;
  });
  return { groups, next: page.next };
}

/** Rows without a session have no time span and are left out. */
export async function findSpansOf(
  { events, access, sessions, clock }: FindParts,
  viewer: Viewer,
  { q, before, limit }: { readonly q: string; readonly before?: string | undefined; readonly limit: number },
): Promise<FoundSpans> {
  const [expression, scope] = [expressionOf(q, clock), scopeOf(access, viewer)];
  const page = await events.searchBySession({ expression, scope, limit, each: 0, cursor: before });
  const infos = await infosOf(
    { events, sessions },
    scope,
    page.rows.map(({ session }) => session),
  );
  const found = page.rows.flatMap(({ session: id, count }) => {
    const session = infos.get(id);
    return session === undefined ? [] : [{ session, count }];
  });
  return { sessions: found, next: page.next };
}

async function infosOf(
  { events, sessions }: Pick<FindParts, 'events' | 'sessions'>,
  scope: SearchScope,
  ids: readonly string[],
): Promise<ReadonlyMap<string, SessionInfo>> {
  const named = ids.filter((id) => id !== '');
  if (named.length === 0) return new Map();
  const any = named.map((id): SearchExpression => ({
    kind: 'field',
    field: 'session',
    match: { kind: 'pattern', pattern: escapePattern(id) },
  }));
  const command: SearchExpression = { kind: 'field', field: 'kind', match: { kind: 'pattern', pattern: 'command' } };
  const { rows } = await events.searchRows({
    expression: { kind: 'all', of: [command, { kind: 'any', of: any }] },
    scope: { ...scope, audit: false },
    limit: named.length,
  });
  return new Map(rows.flatMap((found) => (found.table === 'sessions' ? [[found.row.session, sessions.info(found.row)] as const] : [])));
}

export async function findHitsOf(
  { events, access, clock }: FindParts,
  viewer: Viewer,
  { q, before, limit }: { readonly q: string; readonly before?: string | undefined; readonly limit: number },
): Promise<FoundHits> {
  const page = await events.searchRows({ expression: expressionOf(q, clock), scope: scopeOf(access, viewer), limit, cursor: before });
  return { hits: await hitsOf(events, page.rows, q), next: page.next };
}

export async function overviewOf({ events, access, clock }: FindParts, viewer: Viewer, q: string): Promise<FoundOverview> {
  return events.searchOverview({ expression: expressionOf(q, clock), scope: scopeOf(access, viewer) });
}

export async function valuesOf(
  { events, access }: FindParts,
  viewer: Viewer,
  field: (typeof completedFields)[number],
  prefix: string,
): Promise<{ readonly values: readonly { readonly value: string; readonly count: number }[] }> {
  return { values: await events.searchValues({ field, prefix, scope: { ...scopeOf(access, viewer), audit: false } }) };
}
