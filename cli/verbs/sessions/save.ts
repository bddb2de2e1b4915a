/** Keeps a query under a name: `steno search --save` and `steno sql --save`. */
import { saveSearch } from '#schemas/api/cases/saved-searches.js';
import type { SavedLanguage } from '#schemas/api/cases/saved-searches.js';
import { formatDuration } from '#schemas/base/duration.js';
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
