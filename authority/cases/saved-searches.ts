/**
 * Saved searches and saved SQL: who keeps, shares and deletes them (docs/decisions/0125-saved-searches.md, 0136-saved-sql.md).
 * Scheduled runs are in search-runs.ts. Tested in test/cases/saved-searches.test.ts.
 */
import {
  MAX_SAVED,
  MAX_SCHEDULED,
  MAX_SCHEDULED_ALL,
  deleteSavedSearch,
  listSavedSearches,
  saveSearch,
} from '#schemas/api/cases/saved-searches.js';
import { newId } from '#runtime/ids.js';
import type { SavedLanguage, SavedSearch } from '#schemas/api/cases/saved-searches.js';
import { StenoError } from '#schemas/base/errors.js';
import { mayAdminister } from '#schemas/policy/administration.js';
import type { Role } from '#schemas/policy/role.js';
import { SearchError } from '#schemas/search/lexer.js';
import { parseSearch } from '#schemas/search/parse.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import type { Records, Tx } from '../records/records.js';
import type { Row } from '#stores/state/schema.js';
import { personOf } from '../web-sessions/person.js';
import type { Links } from '../web-sessions/web-sessions.js';

export interface SavedSearchParts {
  readonly records: Records;
  readonly links: Links;
  readonly clock: () => number;
}

type SearchRow = Row<'saved_searches'>;

export function savedSearchRoutes({ records, links, clock }: SavedSearchParts): readonly Route[] {
  return [
    handle(listSavedSearches, async (c) => {
      const { user, roles } = await personOf(links, c);
      const others = mayAdminister(roles, 'search', 'read');
      const all = await records.read((db) => db.selectFrom('saved_searches').selectAll().orderBy('name').orderBy('owner').execute());
      const sql = mayAdminister(roles, 'sql', 'read');
      return all
        .filter(({ owner, shared }) => owner === user || (others && Number(shared) === 1))
        .filter(({ language }) => language === 'search' || sql)
        .map(searchOf);
    }),
    handle(saveSearch, async (c) => {
      const { user, roles, caller } = await personOf(links, c);
      const { name, language, query, shared, every_ms: every } = c.body;
      requireCreate(user, roles);
      if (shared && !mayAdminister(roles, 'search', 'update'))
        throw new StenoError('ACCESS_DENIED', `none of ${user}'s roles permits sharing searches: update`);
      if (language === 'sql' && !mayAdminister(roles, 'sql', 'read'))
        throw new StenoError('ACCESS_DENIED', `none of ${user}'s roles permits SQL: read`);
      const now = clock();
      // SQL is checked when it runs, by the reader, which then also knows the user.
      if (language === 'search') requireQuery(query, now);
      return records.actOn(async (tx) => {
        const saved = await save(tx, { owner: user, name, language, query, shared, every }, now);
        const data = { name, language, query, shared, every_ms: every };
        return { result: searchOf(saved), rows: [auditRow(now, caller, { event: 'search.save', target: saved.id, data })] };
      });
    }),
    handle(deleteSavedSearch, async (c, { name: id }) => {
      const { user, roles, caller } = await personOf(links, c);
      const any = mayAdminister(roles, 'search', 'delete');
      await records.actOn(async (tx) => {
        const row = await tx.selectFrom('saved_searches').selectAll().where('id', '=', id).executeTakeFirst();
        // Another user's private search gets the same answer as a missing one.
        const within = row !== undefined && (row.owner === user || (any && (Number(row.shared) === 1 || row.every_ms !== null)));
        if (!within) throw new StenoError('NOT_FOUND', `saved search ${id}`);
        await tx.deleteFrom('saved_searches').where('id', '=', id).execute();
        const data = { name: row.name, of: row.owner };
        return { result: undefined, rows: [auditRow(clock(), caller, { event: 'search.delete', target: id, data })] };
      });
    }),
  ];
}

/** Throws ACCESS_DENIED. */
export function requireCreate(user: string, roles: readonly Role[]): void {
  if (!mayAdminister(roles, 'search', 'create'))
    throw new StenoError('ACCESS_DENIED', `none of ${user}'s roles permits to create searches`);
}

/** Throws BAD_REQUEST with the place of the fault. */
function requireQuery(query: string, now: number): void {
  try {
    parseSearch(query, now);
  } catch (error) {
    if (error instanceof SearchError) throw new StenoError('BAD_REQUEST', `query: ${error.message} (at character ${error.at + 1})`);
    throw error;
  }
}

interface Saving {
  readonly owner: string;
  readonly name: string;
  readonly language: SavedLanguage;
  readonly query: string;
  readonly shared: boolean;
  readonly every: number | null;
}

/** Throws TOO_MANY, USER_UNKNOWN; BAD_REQUEST if the name is taken by a search in the other language. */
async function save(tx: Tx, { owner, name, language, query, shared, every }: Saving, now: number): Promise<SearchRow> {
  const user = await tx.selectFrom('users').select('name').where('name', '=', owner).executeTakeFirst();
  // A user of another cluster has no account here whose removal would remove the search.
  if (user === undefined) throw new StenoError('USER_UNKNOWN', owner);
  const own = await tx.selectFrom('saved_searches').selectAll().where('owner', '=', owner).execute();
  const before = own.find((row) => row.name === name);
  if (before !== undefined && before.language !== language)
    throw new StenoError('BAD_REQUEST', `name: is that of ${before.language === 'sql' ? 'saved SQL' : 'a saved search'}`);
  if (before === undefined && own.length >= MAX_SAVED) throw new StenoError('TOO_MANY', `${MAX_SAVED} saved searches of one user`);
  if (every !== null && before?.every_ms == null) {
    if (own.filter(({ every_ms: each }) => each !== null).length >= MAX_SCHEDULED)
      throw new StenoError('TOO_MANY', `${MAX_SCHEDULED} searches of one user on a schedule`);
    const { count } = await tx
      .selectFrom('saved_searches')
      .select((of) => of.fn.countAll().as('count'))
      .where('every_ms', 'is not', null)
      .executeTakeFirstOrThrow();
    if (Number(count) >= MAX_SCHEDULED_ALL) throw new StenoError('TOO_MANY', `${MAX_SCHEDULED_ALL} searches on a schedule`);
  }
  // A changed query starts over: hits of the old one do not count as seen.
  const continues = before !== undefined && before.query === query && before.every_ms !== null && every !== null;
  const schedule =
    every === null
      ? { every_ms: null, since: null, next_at: null, ran_at: null }
      : continues
        ? { every_ms: every, since: before.since, next_at: Math.min(Number(before.next_at), now + every), ran_at: before.ran_at }
        : { every_ms: every, since: now, next_at: now + every, ran_at: null };
  const row = {
    ...{ id: before?.id ?? newId('q', 12), owner, name, language, query, shared: shared ? 1 : 0, ...schedule, error: '' },
    ...{ version: Number(before?.version ?? 0) + 1, created_at: before?.created_at ?? now, updated_at: now, told: before?.told ?? 0 },
  };
  if (before === undefined) await tx.insertInto('saved_searches').values(row).execute();
  else await tx.updateTable('saved_searches').set(row).where('id', '=', row.id).execute();
  if (!continues) await tx.deleteFrom('saved_search_hits').where('search', '=', row.id).execute();
  return row;
}

function searchOf(row: SearchRow): SavedSearch {
  const { id, owner, name, language, query, shared, created_at, updated_at, every_ms, next_at, ran_at, told, error } = row;
  const number = (value: number | null): number | null => (value === null ? null : Number(value));
  return {
    ...{ id, owner, name, language, query, shared: Number(shared) === 1, created_at: Number(created_at), updated_at: Number(updated_at) },
    ...{ every_ms: number(every_ms), next_at: number(next_at), ran_at: number(ran_at), told: Number(told), error },
  };
}
