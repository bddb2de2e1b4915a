/**
 * Cases: the items that belong together, who works on them, and how the case ended (states: schemas/documents/case.ts).
 *
 * The authority knows only ids and texts of a case's items; viewers resolve them, and leave out what a reader may not view. A case,
 * its history and its audit row change in one transaction, so concurrent acts are serialized and the second is checked against the
 * result of the first. Tested in cases.test.ts.
 */
import { newId } from '#runtime/ids.js';
import { MAX_CASES, MAX_ITEMS } from '#schemas/api/cases/cases.js';
import { addCaseItems, createCase, decideCase, listCaseHeads, readCase, removeCaseItem, updateCase } from '#schemas/api/cases/cases.js';
import type { CaseItem, NewCaseItem } from '#schemas/api/cases/cases.js';
import { StenoError } from '#schemas/base/errors.js';
import { caseAfter, caseTakesItems } from '#schemas/documents/case.js';
import type { CaseAct, CaseState } from '#schemas/documents/case.js';
import { handle } from '../http/server.js';
import type { Context, Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import { allHeads, bookOf, caseRow, headOf, insertCase, insertItem, itemsOf, pushHistory } from './records.js';
import type { Records, Tx } from '../records/records.js';
import { personOf, requireOfBrowser } from '../web-sessions/person.js';
import type { Person } from '../web-sessions/person.js';
import type { Links } from '../web-sessions/web-sessions.js';

export interface BookParts {
  readonly records: Records;
  readonly links: Links;
  readonly clock: () => number;
}

export function bookRoutes({ records, links, clock }: BookParts): readonly Route[] {
  const person = async (c: Context<unknown>, verb: 'create' | 'update'): Promise<Person> => {
    const found = await personOf(links, c);
    requireOfBrowser(found, 'case', verb);
    return found;
  };
  return [
    handle(listCaseHeads, () => records.read(allHeads)),
    handle(readCase, (_, { name }) => records.read((db) => bookOf(db, name))),
    handle(createCase, async (c) => {
      const { user, caller } = await person(c, 'create');
      const now = clock();
      const id = newId('c', 10);
      const [title, summary] = [c.body.title.trim(), c.body.summary.trim()];
      return records.actOn(async (tx) => {
        if ((await allHeads(tx)).length >= MAX_CASES) throw new StenoError('TOO_MANY', `${MAX_CASES} cases`);
        await insertCase(tx, { id, title, summary, by: user, at: now });
        await pushHistory(tx, id, { at: now, by: user, kind: 'create', text: title });
        return { result: await headOf(tx, id), rows: [auditRow(now, caller, { event: 'case.create', target: id, data: { title } })] };
      });
    }),
    handle(updateCase, async (c, { name: id }) => {
      const { user, caller } = await person(c, 'update');
      const { title, summary, assignee } = c.body;
      const now = clock();
      return records.actOn(async (tx) => {
        await openCase(tx, id);
        if (typeof assignee === 'string') await requireUser(tx, assignee);
        await tx
          .updateTable('cases')
          .set({
            updated_at: now,
            ...(title === undefined ? {} : { title: title.trim() }),
            ...(summary === undefined ? {} : { summary: summary.trim() }),
            ...(assignee === undefined ? {} : { assignee }),
          })
          .where('id', '=', id)
          .execute();
        if (title !== undefined || summary !== undefined)
          await pushHistory(tx, id, { at: now, by: user, kind: 'describe', text: title?.trim() ?? '' });
        if (assignee !== undefined) await pushHistory(tx, id, { at: now, by: user, kind: 'assign', text: assignee ?? '' });
        const data = { ...(title === undefined ? {} : { title: title.trim() }), ...(assignee === undefined ? {} : { assignee }) };
        return { result: await headOf(tx, id), rows: [auditRow(now, caller, { event: 'case.update', target: id, data })] };
      });
    }),
    handle(decideCase, async (c, { name: id }) => {
      const { user, caller } = await person(c, 'update');
      const { act } = c.body;
      const reason = c.body.reason.trim();
      const now = clock();
      return records.actOn(async (tx) => {
        const state = await step(tx, id, { act, reason, by: user, at: now });
        await pushHistory(tx, id, { at: now, by: user, kind: act, text: reason });
        return {
          result: await headOf(tx, id),
          rows: [auditRow(now, caller, { event: 'case.state', target: id, data: { act, state, reason } })],
        };
      });
    }),
    handle(addCaseItems, async (c, { name: id }) => {
      const { user, caller } = await person(c, 'update');
      const now = clock();
      return records.actOn(async (tx) => {
        await openCase(tx, id);
        const before = await itemsOf(tx, id);
        const known = new Set(before.map(keyOf));
        const fresh: CaseItem[] = [];
        for (const item of c.body.items) {
          const made = itemOf(item, user, now);
          if (known.has(keyOf(made))) continue;
          known.add(keyOf(made));
          fresh.push(made);
        }
        if (before.length + fresh.length > MAX_ITEMS) throw new StenoError('TOO_MANY', `${MAX_ITEMS} things in a case`);
        for (const item of fresh) await insertItem(tx, id, item);
        await tx.updateTable('cases').set({ updated_at: now }).where('id', '=', id).execute();
        const data = { items: fresh.map(({ id: item, kind, session, finding }) => ({ item, kind, session, finding })) };
        return { result: fresh, rows: [auditRow(now, caller, { event: 'case.add', target: id, data })] };
      });
    }),
    handle(removeCaseItem, async (c, { name: id, item }) => {
      const { user, caller } = await person(c, 'update');
      const now = clock();
      await records.actOn(async (tx) => {
        await openCase(tx, id);
        const found = (await itemsOf(tx, id)).find((one) => one.id === item);
        if (found === undefined) throw new StenoError('NOT_FOUND', `${item} in case ${id}`);
        await tx.updateTable('case_items').set({ removed_by: user, removed_at: now }).where('id', '=', item).execute();
        await tx.updateTable('cases').set({ updated_at: now }).where('id', '=', id).execute();
        await pushHistory(tx, id, {
          at: now,
          by: user,
          kind: 'remove',
          text: [found.kind, c.body.reason.trim()].filter(Boolean).join(': '),
        });
        const data = { item, kind: found.kind, session: found.session, finding: found.finding };
        return { result: undefined, rows: [auditRow(now, caller, { event: 'case.remove', target: id, data })] };
      });
    }),
  ];
}

/** Throws NOT_FOUND, CASE_STATE. */
async function openCase(tx: Tx, id: string): Promise<void> {
  const { state } = await caseRow(tx, id);
  if (!caseTakesItems(state)) throw new StenoError('CASE_STATE', `${id} is ${state}`);
}

interface Step {
  readonly act: CaseAct;
  readonly reason: string;
  readonly by: string;
  readonly at: number;
}

/** Throws NOT_FOUND, CASE_STATE, CASE_SELF_SIGN. */
async function step(tx: Tx, id: string, { act, reason, by, at }: Step): Promise<CaseState> {
  const before = await caseRow(tx, id);
  const state = caseAfter(before.state, act);
  if (state === null) throw new StenoError('CASE_STATE', `${id} is ${before.state}`);
  const closing = before.closing === null ? null : (JSON.parse(before.closing) as { readonly by: string });
  if (act === 'sign' && (closing === null || closing.by === by)) throw new StenoError('CASE_SELF_SIGN', id);
  const ends: Readonly<Record<CaseAct, object>> = {
    investigate: {},
    close: { closing: JSON.stringify({ by, at, reason }), signed: null },
    sign: { signed: JSON.stringify({ by, at }) },
    return: { closing: null },
    reopen: { closing: null, signed: null },
  };
  await tx
    .updateTable('cases')
    .set({ state, updated_at: at, ...ends[act] })
    .where('id', '=', id)
    .execute();
  return state;
}

async function requireUser(tx: Tx, name: string): Promise<void> {
  const found = await tx.selectFrom('users').select('name').where('name', '=', name).executeTakeFirst();
  if (found === undefined) throw new StenoError('USER_UNKNOWN', name);
}

function itemOf(item: NewCaseItem, by: string, at: number): CaseItem {
  const blank = { session: '', offset: null, finding: '', query: '' };
  return { ...blank, ...item, id: newId('i', 12), note: item.note.trim(), added_by: by, added_at: at };
}

/** Two items are the same if they refer to the same thing, whatever their texts. */
function keyOf({ kind, session, offset, finding, query }: CaseItem): string {
  return JSON.stringify([kind, session, offset, finding, query]);
}
