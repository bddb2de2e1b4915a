/**
 * Lists of known-good executables: stored in pieces, and delivered to analyzers with the rules. A list counts as a change of the rules,
 * of which the watch informs analyzers. The audit names a list with the number and the digest of its hashes.
 *
 * Pieces are versions of the document `#NAME/IMPORT` in `rule_versions`, which no rule can have as its id; version 0 is the head, which a
 * finished import has:
 *
 *     pieces 1 ... n, each by itself ──► head, and the import before is deleted, in one transaction with the audit row
 *       crash: no head, so not in force; forgotten after a day
 *
 * Tested in test/survival/known-hashes.test.ts.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import {
  HASH_BYTES,
  MAX_HASHES,
  MAX_LISTS,
  MAX_PIECES,
  PIECE_HASHES,
  deleteHashList,
  finishHashImport,
  listHashLists,
  putHashPiece,
  readHashLists,
  readHashPiece,
} from '#schemas/api/detection/hashes.js';
import type { HashList } from '#schemas/api/detection/hashes.js';
import { StenoError } from '#schemas/base/errors.js';
import { mayAdminister } from '#schemas/policy/administration.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import type { Reader, Records, Tx } from '../records/records.js';
import { newRuleSet, ruleSetVersion } from '../records/detection/rules.js';

export interface HashParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
}

const UNFINISHED_MS = 86_400_000;
const HEAD = 0;
const headFacts = z.object({ count: z.int(), pieces: z.int(), digest: z.string(), file: z.string() });

interface Head extends HashList {
  readonly import: string;
  readonly pieces: number;
}

export function hashRoutes({ records, directory, clock }: HashParts): readonly Route[] {
  return [
    handle(listHashLists, async () => (await records.read(heads)).map(shownOf)),
    handle(putHashPiece, async ({ body, caller }, { name }) => {
      const at = clock();
      const bytes = Buffer.from(body.hashes, 'base64');
      if (bytes.length === 0 || bytes.length % HASH_BYTES !== 0 || bytes.length > PIECE_HASHES * HASH_BYTES)
        throw new StenoError('BAD_REQUEST', `a piece has 1 to ${PIECE_HASHES} hashes of ${HASH_BYTES} bytes`);
      const key = keyOf(name, body.import);
      await records.act([], async (tx) => {
        await forgetUnfinished(tx, at);
        const pieces = await unfinishedPieces(tx, key);
        if (pieces >= MAX_PIECES) throw new StenoError('TOO_MANY', `${MAX_PIECES} pieces of imports that are not finished`);
        const finished = await tx
          .selectFrom('rule_versions')
          .select('at')
          .where('rule', '=', key)
          .where('version', '=', HEAD)
          .executeTakeFirst();
        // The request was repeated: the caller can tell from the digest in the answer to `finish` whether the import is the same.
        if (finished !== undefined) return;
        const row = { text: bytes.toString('base64'), origin: '{}', by: caller.actor, at };
        await tx
          .insertInto('rule_versions')
          .values({ rule: key, version: body.piece, ...row })
          .onConflict((on) => on.columns(['rule', 'version']).doUpdateSet(row))
          .execute();
      });
    }),
    handle(finishHashImport, async ({ body, caller, principal }, { name }) => {
      const now = clock();
      const key = keyOf(name, body.import);
      const made = await records.actOn(async (tx) => {
        const all = await heads(tx);
        const done = all.find((one) => one.name === name && one.import === body.import);
        // The request was repeated because the answer was lost.
        if (done !== undefined) return { result: done, rows: [] };
        const others = all.filter((one) => one.name !== name);
        const { count, digest } = await contentOf(tx, key, body.pieces);
        if (others.length >= MAX_LISTS) throw new StenoError('TOO_MANY', `${MAX_LISTS} lists`);
        if (count + others.reduce((sum, one) => sum + one.count, 0) > MAX_HASHES)
          throw new StenoError('TOO_MANY', `${MAX_HASHES} hashes over all lists`);
        const replaced = all.find((one) => one.name === name);
        const verb = replaced === undefined ? 'create' : 'update';
        if (principal.kind === 'user' && !mayAdminister(principal.roles, 'rule', verb))
          throw new StenoError('ACCESS_DENIED', `none of your roles permits to ${verb} rules: hash list ${name}`);
        if (replaced !== undefined) await removeImport(tx, keyOf(name, replaced.import));
        const { file } = body;
        const origin = JSON.stringify({ count, digest, file, pieces: body.pieces });
        await tx.insertInto('rule_versions').values({ rule: key, version: HEAD, text: '', origin, by: caller.actor, at: now }).execute();
        await newRuleSet(tx, now);
        const data = { count, digest, file, replaced: replaced === undefined ? null : { count: replaced.count, digest: replaced.digest } };
        const result: Head = {
          name,
          count,
          digest,
          file,
          created_by: caller.actor,
          created_at: now,
          import: body.import,
          pieces: body.pieces,
        };
        return { result, rows: [auditRow(now, caller, { event: 'hashes.import', target: name, data })] };
      });
      await directory.changed();
      return shownOf(made);
    }),
    handle(deleteHashList, async ({ caller }, { name }) => {
      const now = clock();
      await records.actOn(async (tx) => {
        const head = (await heads(tx)).find((one) => one.name === name);
        if (head === undefined) throw new StenoError('NOT_FOUND', `hash list ${name}`);
        await removeImport(tx, keyOf(name, head.import));
        await newRuleSet(tx, now);
        const { count, digest, file } = head;
        return {
          result: undefined,
          rows: [auditRow(now, caller, { event: 'hashes.remove', target: name, data: { count, digest, file } })],
        };
      });
      await directory.changed();
    }),
    // Read the version first: if a list changes meanwhile, the version changes and everything is read again.
    handle(readHashLists, async () => ({
      version: await records.read(ruleSetVersion),
      lists: (await records.read(heads)).map(({ name, import: id, pieces }) => ({ name, import: id, pieces })),
    })),
    handle(readHashPiece, async ({ body }) => {
      const key = keyOf(body.name, body.import);
      const row = await records.read((db) =>
        db.selectFrom('rule_versions').select('text').where('rule', '=', key).where('version', '=', body.piece).executeTakeFirst(),
      );
      if (row === undefined) throw new StenoError('NOT_FOUND', `piece ${body.piece} of hash list ${body.name}`);
      return { hashes: row.text };
    }),
  ];
}

function keyOf(name: string, id: string): string {
  return `#${name}/${id}`;
}

function shownOf({ name, count, digest, file, created_by, created_at }: Head): HashList {
  return { name, count, digest, file, created_by, created_at };
}

/** Lists in force, by name. */
async function heads(db: Reader): Promise<readonly Head[]> {
  const rows = await db
    .selectFrom('rule_versions')
    .select(['rule', 'origin', 'by', 'at'])
    .where('rule', 'like', '#%')
    .where('version', '=', HEAD)
    .execute();
  return rows
    .map(({ rule, origin, by, at }): Head => {
      const cut = rule.lastIndexOf('/');
      return {
        name: rule.slice(1, cut),
        import: rule.slice(cut + 1),
        ...headFacts.parse(JSON.parse(origin)),
        created_by: by,
        created_at: Number(at),
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function removeImport(tx: Tx, key: string): Promise<void> {
  await tx.deleteFrom('rule_versions').where('rule', '=', key).execute();
}

const finishedImports = (tx: Tx) => tx.selectFrom('rule_versions').select('rule').where('rule', 'like', '#%').where('version', '=', HEAD);

/** Pieces of all imports that have no head. */
async function unfinishedPieces(tx: Tx, but: string): Promise<number> {
  const { count } = await tx
    .selectFrom('rule_versions')
    .select((of) => of.fn.countAll().as('count'))
    .where('rule', 'like', '#%')
    .where('rule', '!=', but)
    .where('rule', 'not in', finishedImports(tx))
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function forgetUnfinished(tx: Tx, now: number): Promise<void> {
  await tx
    .deleteFrom('rule_versions')
    .where('rule', 'like', '#%')
    .where('at', '<', now - UNFINISHED_MS)
    .where('rule', 'not in', finishedImports(tx))
    .execute();
}

/** Throws NOT_FOUND for a missing piece, BAD_REQUEST unless the hashes ascend over all pieces and every piece but the last is full. */
async function contentOf(tx: Tx, key: string, pieces: number): Promise<{ readonly count: number; readonly digest: string }> {
  const hash = createHash('sha256');
  let count = 0;
  let last: Buffer | null = null;
  for (let piece = 1; piece <= pieces; piece += 1) {
    const row = await tx.selectFrom('rule_versions').select('text').where('rule', '=', key).where('version', '=', piece).executeTakeFirst();
    if (row === undefined) throw new StenoError('NOT_FOUND', `piece ${piece} of the import`);
    const bytes = Buffer.from(row.text, 'base64');
    for (let at = 0; at < bytes.length; at += HASH_BYTES) {
      const one: Buffer = bytes.subarray(at, at + HASH_BYTES);
      if (last !== null && last.compare(one) >= 0)
        throw new StenoError('BAD_REQUEST', 'the hashes of an import ascend, and each is there once');
      last = one;
    }
    if (piece < pieces && bytes.length !== PIECE_HASHES * HASH_BYTES) throw new StenoError('BAD_REQUEST', `piece ${piece} is not full`);
    count += bytes.length / HASH_BYTES;
    hash.update(bytes);
  }
  return { count, digest: hash.digest('hex') };
}
