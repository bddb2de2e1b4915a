/** Cases in the state store. Tested in cases.test.ts. */
import type { CaseBook, CaseEntry, CaseHead, CaseItem } from '#schemas/api/cases/cases.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Row } from '#stores/state/schema.js';
import type { Reader, Tx } from '../records/records.js';

interface NewCase {
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  readonly by: string;
  readonly at: number;
}

export async function insertCase(tx: Tx, { id, title, summary, by, at }: NewCase): Promise<void> {
  const blank = { state: 'open', assignee: null, closing: null, signed: null } as const;
  await tx
    .insertInto('cases')
    .values({ id, title, summary, ...blank, created_by: by, created_at: at, updated_at: at })
    .execute();
}

/** Throws NOT_FOUND. */
export async function caseRow(db: Reader, id: string): Promise<Row<'cases'>> {
  const row = await db.selectFrom('cases').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new StenoError('NOT_FOUND', `case ${id}`);
  return row;
}

export async function allHeads(db: Reader): Promise<readonly CaseHead[]> {
  const rows = await db.selectFrom('cases').selectAll().orderBy('updated_at', 'desc').orderBy('id').execute();
  const counts = await db
    .selectFrom('case_items')
    .select((of) => ['case', of.fn.countAll().as('count')])
    .where('removed_at', 'is', null)
    .groupBy('case')
    .execute();
  const byCase = new Map(counts.map(({ case: id, count }) => [id, Number(count)]));
  return rows.map((row) => headFrom(row, byCase.get(row.id) ?? 0));
}

/** Throws NOT_FOUND. */
export async function headOf(db: Reader, id: string): Promise<CaseHead> {
  return headFrom(await caseRow(db, id), (await itemsOf(db, id)).length);
}

/** Throws NOT_FOUND. */
export async function bookOf(db: Reader, id: string): Promise<CaseBook> {
  const row = await caseRow(db, id);
  const items = await itemsOf(db, id);
  const history = await db.selectFrom('case_history').selectAll().where('case', '=', id).orderBy('version').execute();
  return {
    ...{ head: headFrom(row, items.length), summary: row.summary, items },
    history: history.map(({ at, by, kind, text }) => ({ at: Number(at), by, kind, text })),
  };
}

/** The items that were not removed, in the order in which they were added. */
export async function itemsOf(db: Reader, id: string): Promise<readonly CaseItem[]> {
  const rows = await db
    .selectFrom('case_items')
    .selectAll()
    .where('case', '=', id)
    .where('removed_at', 'is', null)
    .orderBy('position')
    .execute();
  return rows.map(({ id: item, kind, session, offset_ms, finding, query, note, added_by, added_at }) => ({
    ...{ id: item, kind, session, finding, query, note, added_by, added_at: Number(added_at) },
    offset: offset_ms === null ? null : Number(offset_ms),
  }));
}

export async function insertItem(tx: Tx, id: string, { offset, ...item }: CaseItem): Promise<void> {
  const { last } = await tx
    .selectFrom('case_items')
    .select((of) => of.fn.max('position').as('last'))
    .where('case', '=', id)
    .executeTakeFirstOrThrow();
  await tx
    .insertInto('case_items')
    .values({ ...item, case: id, offset_ms: offset, position: Number(last ?? 0) + 1, removed_by: null, removed_at: null })
    .execute();
}

export async function pushHistory(tx: Tx, id: string, entry: CaseEntry): Promise<void> {
  const { last } = await tx
    .selectFrom('case_history')
    .select((of) => of.fn.max('version').as('last'))
    .where('case', '=', id)
    .executeTakeFirstOrThrow();
  await tx
    .insertInto('case_history')
    .values({ ...entry, case: id, version: Number(last ?? 0) + 1 })
    .execute();
}

function headFrom(row: Row<'cases'>, items: number): CaseHead {
  const { id, title, state, assignee, created_by, created_at, updated_at, closing, signed } = row;
  return {
    ...{ id, title, state, assignee, created_by, created_at: Number(created_at), updated_at: Number(updated_at), items },
    closing: closing === null ? null : (JSON.parse(closing) as CaseHead['closing']),
    signed: signed === null ? null : (JSON.parse(signed) as CaseHead['signed']),
  };
}
