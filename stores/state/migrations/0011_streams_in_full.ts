/**
 * Roles that do not mention streams get the new default: commands without a terminal are recorded in full.
 *
 * Documents are stored with their defaults filled in, so the old default looks as if somebody had written it; the text tells
 * the difference. A role without a text (from before roles had one) counts as not mentioning streams if its limit is the old
 * default. A role whose text names `streams` or `limit`, or cannot be read, stays unchanged.
 */
import type { Kysely } from 'kysely';
import { parse } from 'yaml';
import type { StateMigration } from '../engine/dialect.js';

const OLD_LIMIT = 1 << 20;

interface Recording {
  readonly streams?: unknown;
  readonly limit?: unknown;
}

export const streamsInFull: StateMigration = {
  async up(database) {
    const untyped = database as Kysely<{ roles: { name: string; document: string; source: string } }>;
    for (const { name, document, source } of await untyped.selectFrom('roles').select(['name', 'document', 'source']).execute()) {
      const role = JSON.parse(document) as { readonly recording?: Recording };
      const { recording } = role;
      if (recording?.streams !== 'limited' || (source === '' ? recording.limit !== OLD_LIMIT : saysHowMuch(source))) continue;
      await untyped
        .updateTable('roles')
        .set({ document: JSON.stringify({ ...role, recording: { ...recording, streams: 'commands' } }) })
        .where('name', '=', name)
        .execute();
    }
  },
};

function saysHowMuch(source: string): boolean {
  try {
    const { recording } = parse(source) as { readonly recording?: Recording };
    return recording?.streams !== undefined || recording?.limit !== undefined;
  } catch {
    return true;
  }
}
