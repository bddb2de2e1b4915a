/** Queries under a name: `steno search --save` and `steno sql --save` keep one, `steno searches` and `steno sql --saved` find it again. */
import { listSavedSearches, saveSearch } from '#schemas/api/cases/saved-searches.js';
import type { SavedLanguage, SavedSearch } from '#schemas/api/cases/saved-searches.js';
import { formatDuration } from '#schemas/base/duration.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Client } from '../../client/client.js';
import { json, moment, standardOutput, styled, visible } from '../../terminal/output.js';

interface Saving {
  readonly name: string;
  readonly language: SavedLanguage;
  readonly query: string;
  /** ms; of a search alone. */
  readonly every?: number;
  readonly share?: boolean;
  readonly json?: boolean;
}

/** Saves, and asks nothing: `steno searches run` and `steno sql --saved` do. */
export async function saveAs(client: Client, { name, language, query, every, share, json: asJson }: Saving): Promise<void> {
  const body = { name, language, query, shared: share === true, every_ms: every ?? null };
  const saved = await call(client.authority, saveSearch, { body });
  if (asJson === true) return json(standardOutput, saved);
  const { out, env } = standardOutput;
  const when = saved.every_ms === null ? '' : `; it runs every ${formatDuration(saved.every_ms)}, next at ${moment(saved.next_at!)}`;
  out.write(`${styled(out, env, 'green', '✓')} ${saved.id} is saved as “${visible(saved.name)}”${when}\n`);
}

/** By id, or by name: one's own before one that is shared. Throws NOT_FOUND, USAGE. */
export async function savedNamed(client: Client, wanted: string): Promise<SavedSearch> {
  const all = await call(client.authority, listSavedSearches, {});
  const byId = all.find(({ id }) => id === wanted);
  if (byId !== undefined) return byId;
  const named = all.filter(({ name }) => name === wanted);
  const own = named.filter(({ owner }) => owner === client.profile.user);
  const [found, another] = own.length > 0 ? own : named;
  if (found === undefined) throw new StenoError('NOT_FOUND', `saved search ${wanted}`);
  if (another !== undefined)
    throw new StenoError(
      'USAGE',
      `several people share a search of this name: ${named.map(({ id, owner }) => `${id} of ${owner}`).join(', ')}`,
    );
  return found;
}
