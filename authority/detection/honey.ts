/**
 * Honey tokens: stored with their text, which analyzers look for and nobody is shown again. A change counts as a change of
 * the rules, of which the watch informs analyzers. The audit names a token by its id and masked text. Tested in
 * test/kernel/honey.test.ts and ../audit/complete.test.ts.
 */
import { newId } from '#runtime/ids.js';
import { addHoneyToken, listHoneyTokens, readHoneyTokens, removeHoneyToken } from '#schemas/api/detection/honey.js';
import type { HoneyToken } from '#schemas/api/detection/honey.js';
import { MAX_HONEY_TOKENS, maskedHoney } from '#schemas/documents/honey-token.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import type { Reader, Records } from '../records/records.js';
import { newRuleSet, ruleSetVersion } from '../records/detection/rules.js';

export interface HoneyParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
}

export function honeyRoutes({ records, directory, clock }: HoneyParts): readonly Route[] {
  return [
    handle(listHoneyTokens, async () => (await records.read(stored)).map(shownOf)),
    handle(addHoneyToken, async ({ caller, body }) => {
      const now = clock();
      const token = { id: newId('h', 10), ...body, created_by: caller.actor, created_at: now };
      await records.actOn(async (tx) => {
        const all = await stored(tx);
        if (all.length >= MAX_HONEY_TOKENS) throw new StenoError('TOO_MANY', `${MAX_HONEY_TOKENS} honey tokens`);
        // Texts are compared case-insensitively.
        const same = all.find(({ text }) => text.toLowerCase() === body.text.toLowerCase());
        if (same !== undefined) throw new StenoError('BAD_REQUEST', `honey token ${same.id} has the same text`);
        await tx.insertInto('honey_tokens').values(token).execute();
        await newRuleSet(tx, now);
        const data = { kind: body.kind, note: body.note, masked: maskedHoney(body.text) };
        return { result: undefined, rows: [auditRow(now, caller, { event: 'honey.add', target: token.id, data })] };
      });
      await directory.changed();
      return shownOf(token);
    }),
    handle(removeHoneyToken, async ({ caller }, { name }) => {
      const now = clock();
      await records.actOn(async (tx) => {
        const token = (await stored(tx)).find(({ id }) => id === name);
        if (token === undefined) throw new StenoError('NOT_FOUND', `honey token ${name}`);
        await tx.deleteFrom('honey_tokens').where('id', '=', name).execute();
        await newRuleSet(tx, now);
        const data = { kind: token.kind, note: token.note, masked: maskedHoney(token.text) };
        return { result: undefined, rows: [auditRow(now, caller, { event: 'honey.remove', target: name, data })] };
      });
      await directory.changed();
    }),
    // Read the version first: if a token changes meanwhile, the version changes and everything is read again.
    handle(readHoneyTokens, async () => ({
      version: await records.read(ruleSetVersion),
      tokens: (await records.read(stored)).map(({ id, kind, note, text }) => ({ id, kind, note, text })),
    })),
  ];
}

type Stored = Omit<HoneyToken, 'masked'> & { readonly text: string };

async function stored(db: Reader): Promise<readonly Stored[]> {
  const rows = await db.selectFrom('honey_tokens').selectAll().orderBy('created_at').orderBy('id').execute();
  return rows.map((row) => ({ ...row, created_at: Number(row.created_at) }));
}

function shownOf({ text, ...token }: Stored): HoneyToken {
  return { ...token, masked: maskedHoney(text) };
}
