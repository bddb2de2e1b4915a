/**
 * Search over text that appeared on screens, each hit in its context: the lines that appeared just before and after it.
 *
 * The context of up to `HITS_A_QUERY` hits is one query. Tested in viewer/api/main.test.ts.
 */
import type { SearchHit, SearchResult, searchScreens } from '#schemas/api/recordings/search.js';
import type { EventStore, LinesBeside, ScreenHit } from '#stores/events/contract.js';
import type { z } from 'zod';
import type { Access, Viewer } from '../access/access.js';

/** Lines of context on each side. */
const CONTEXT = 2;
const HITS_A_QUERY = 25;

export interface SearchParts {
  readonly events: EventStore;
  readonly access: Access;
}

/** Hits show screen content, so a search requires the right to view. */
export async function search(
  { events, access }: SearchParts,
  viewer: Viewer,
  query: z.output<typeof searchScreens.query>,
): Promise<SearchResult> {
  const { q, before, user, mode, limit, ...filters } = query;
  const scope = access.narrow(viewer, 'view', user);
  if (scope.kind === 'nobody') return { hits: [], next: null };
  const whose = 'user' in scope ? scope.user : undefined;
  const visible = scope.kind === 'each' ? scope.visible : undefined;
  const page = await events.searchScreen({ ...filters, text: q, mode, limit, cursor: before, user: whose, visible });
  const contexts: LinesBeside[] = [];
  // The store limits the number of lines in one query.
  for (let from = 0; from < page.rows.length; from += HITS_A_QUERY) {
    const places = page.rows.slice(from, from + HITS_A_QUERY).map(({ session, block, index }) => ({ session, block, index }));
    contexts.push(...(await events.linesBeside(places, CONTEXT)));
  }
  const hits = page.rows.map((hit, i): SearchHit => ({
    session: hit.session,
    time: hit.offset_ms,
    at: hit.at,
    row: hit.row,
    text: hit.text,
    user: hit.user,
    node: hit.node,
    login: hit.login,
    before: contexts[i]!.before.map(({ text }) => text),
    after: contexts[i]!.after.map(({ text }) => text),
    link: linkTo(hit, q),
  }));
  return { hits, next: page.next };
}

function linkTo(hit: ScreenHit, q: string): string {
  return `/sessions/${hit.session}?t=${hit.offset_ms}&q=${encodeURIComponent(q)}`;
}
