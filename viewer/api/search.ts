/**
 * Search over what was seen on screens, each hit in its context: the lines that appeared just before and after it.
 *
 * The context of `HITS_A_QUERY` hits is one query. Its text holds nothing of the request: session ids of the store's
 * own rows, checked again, and numbers. Tested in server.test.ts.
 */
import type { SearchHit, SearchResult } from '#schemas/api.js';
import { isSessionId } from '#schemas/recording/line.js';
import type { EventStore, ScreenHit } from '#stores/events/contract.js';
import type { z } from 'zod';
import { filtered } from './access.js';
import type { Access, Viewer } from './access.js';
import type { searchQuery } from './query.js';
import type { Sessions } from './sessions.js';

/** Lines of context on each side. */
const CONTEXT = 2;
/** Read on each side: rows at the hit's own moment, itself among them, are sorted out here. */
const CONTEXT_READ = 12;
const HITS_A_QUERY = 25;

export interface SearchParts {
  readonly events: EventStore;
  readonly access: Access;
  readonly sessions: Sessions;
}

/** What is found is what was on screens: it takes the right to view. */
export async function search(
  { events, access, sessions }: SearchParts,
  viewer: Viewer,
  query: z.output<typeof searchQuery>,
): Promise<SearchResult> {
  const { q, before, user, mode, limit, ...filters } = query;
  const scope = access.narrow(viewer, 'view', user);
  if (scope.kind === 'nobody') return { hits: [], next: null };
  const whose = 'user' in scope ? scope.user : undefined;
  const page = await filtered(
    limit,
    before,
    (most, cursor) => events.searchScreen({ ...filters, text: q, mode, limit: most, cursor, user: whose }),
    (hit) => scope.kind !== 'each' || sessions.mayView(viewer, hit.session),
  );
  const contexts: Around[] = [];
  // The store bounds the length of a query.
  for (let from = 0; from < page.rows.length; from += HITS_A_QUERY)
    contexts.push(...(await contextOf(events, page.rows.slice(from, from + HITS_A_QUERY))));
  const hits = page.rows.map((hit, i): SearchHit => ({
    session: hit.session,
    time: hit.offset_ms,
    at: hit.at,
    row: hit.row,
    text: hit.text,
    user: hit.user,
    node: hit.node,
    login: hit.login,
    ...contexts[i]!,
    link: linkTo(hit, q),
  }));
  return { hits, next: page.next };
}

function linkTo(hit: ScreenHit, q: string): string {
  return `/sessions/${hit.session}?t=${hit.offset_ms}&q=${encodeURIComponent(q)}`;
}

interface Around {
  readonly before: readonly string[];
  readonly after: readonly string[];
}

async function contextOf(events: EventStore, hits: readonly ScreenHit[]): Promise<Around[]> {
  const known = hits.filter(({ session, offset_ms }) => isSessionId(session) && Number.isSafeInteger(offset_ms));
  if (known.length === 0) return hits.map(() => ({ before: [], after: [] }));
  const side = (i: number, { session, offset_ms }: ScreenHit, compare: '<=' | '>', order: 'ASC' | 'DESC'): string =>
    `SELECT * FROM (SELECT toUInt32(${i}) AS hit, block, index, offset_ms, row, text FROM screen ` +
    `WHERE session = '${session}' AND offset_ms ${compare} ${offset_ms} ORDER BY block ${order}, index ${order} LIMIT ${CONTEXT_READ})`;
  const sql = known
    .flatMap((hit) => [side(hits.indexOf(hit), hit, '<=', 'DESC'), side(hits.indexOf(hit), hit, '>', 'ASC')])
    .join(' UNION ALL ');
  const { rows } = await events.readOnlySql(`SELECT hit, offset_ms, row, text FROM (${sql}) ORDER BY hit, block, index`, {
    maxRows: 10_000,
    maxSeconds: 10,
  });
  const byHit = new Map<number, { readonly offset: number; readonly row: number; readonly text: string }[]>();
  for (const [hit, offset, row, text] of rows) {
    const list = byHit.get(Number(hit)) ?? [];
    list.push({ offset: Number(offset), row: Number(row), text: String(text) });
    byHit.set(Number(hit), list);
  }
  return hits.map((hit, i) => {
    const list = byHit.get(i) ?? [];
    const at = list.findIndex(({ offset, row, text }) => offset === hit.offset_ms && row === hit.row && text === hit.text);
    if (at < 0) return { before: [], after: [] };
    const texts = list.map(({ text }) => text);
    return { before: texts.slice(Math.max(0, at - CONTEXT), at), after: texts.slice(at + 1, at + 1 + CONTEXT) };
  });
}
