/**
 * Notes on sessions. The authority knows only the ids of sessions. Viewers read the notes here and show them to users who may view
 * the session, and they issue the tickets without which no note is written. The audit row of a note names its place, not its text. A
 * note that is taken back is kept but no longer shown. Tested in notes.test.ts.
 */
import { newId } from '#runtime/ids.js';
import { MAX_NOTES, addNote, makeNoteTicket, readNotes, removeNote } from '#schemas/api/cases/notes.js';
import type { Note } from '#schemas/api/cases/notes.js';
import { StenoError } from '#schemas/base/errors.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { mayAdminister } from '#schemas/policy/administration.js';
import { auditRow } from '../records/audit.js';
import { chunks } from '../records/records.js';
import type { Reader, Records, Tx } from '../records/records.js';
import { hashOf, newToken } from '#runtime/tokens.js';
import { personOf, requireOfBrowser } from '../web-sessions/person.js';
import type { Links } from '../web-sessions/web-sessions.js';

/** Lifetime of a ticket: from seeing the session to writing the note. */
const TICKET_MS = 600_000;

export interface NoteParts {
  readonly records: Records;
  readonly links: Links;
  readonly clock: () => number;
}

export function noteRoutes({ records, links, clock }: NoteParts): readonly Route[] {
  return [
    handle(addNote, async (c) => {
      const person = await personOf(links, c);
      requireOfBrowser(person, 'note', 'create');
      const { user, caller } = person;
      const { session, offset } = c.body;
      const now = clock();
      const made: Note = { id: newId('n', 12), session, offset, text: c.body.text.trim(), created_by: user, created_at: now };
      const row = auditRow(now, caller, { event: 'note.add', target: session, data: { note: made.id, offset, length: made.text.length } });
      await records.act([{ ...row, session }], async (tx) => {
        await requireTicket(tx, c.body.ticket, { user, session }, now);
        const { count } = await tx
          .selectFrom('notes')
          .select((of) => of.fn.countAll().as('count'))
          .where('session', '=', session)
          .executeTakeFirstOrThrow();
        if (Number(count) >= MAX_NOTES) throw new StenoError('TOO_MANY', `${MAX_NOTES} notes on a session`);
        const { offset: offset_ms, ...rest } = made;
        await tx
          .insertInto('notes')
          .values({ ...rest, offset_ms, removed_by: null, removed_at: null })
          .execute();
      });
      return made;
    }),
    handle(makeNoteTicket, async ({ body: { user, session } }) => {
      const now = clock();
      const [ticket, expires_at] = [newToken(), now + TICKET_MS];
      await records.act([], async (tx) => {
        await tx.deleteFrom('note_tickets').where('expires_at', '<=', now).execute();
        await tx
          .insertInto('note_tickets')
          .values({ hash: hashOf(ticket), user, session, expires_at })
          .execute();
      });
      return { ticket, expires_at };
    }),
    handle(removeNote, async (c, { name }) => {
      const { user, roles, caller } = await personOf(links, c);
      const any = mayAdminister(roles, 'note', 'delete');
      const now = clock();
      await records.actOn(async (tx) => {
        const note = await tx.selectFrom('notes').selectAll().where('id', '=', name).where('removed_at', 'is', null).executeTakeFirst();
        // Another user's note gets the same answer as a missing one, so that ids reveal nothing about sessions.
        if (note === undefined || (note.created_by !== user && !any)) throw new StenoError('NOT_FOUND', `note ${name}`);
        await tx.updateTable('notes').set({ removed_by: user, removed_at: now }).where('id', '=', name).execute();
        const row = auditRow(now, caller, { event: 'note.remove', target: note.session, data: { note: name, of: note.created_by } });
        return { result: undefined, rows: [{ ...row, session: note.session }] };
      });
    }),
    handle(readNotes, async ({ body }) => records.read((db) => notesOf(db, body.sessions))),
  ];
}

/**
 * The authority cannot tell who may view a session; a viewer can, and gives a ticket to users who may. Throws ACCESS_DENIED.
 */
async function requireTicket(
  tx: Tx,
  ticket: string,
  { user, session }: { readonly user: string; readonly session: string },
  now: number,
): Promise<void> {
  const found = await tx
    .selectFrom('note_tickets')
    .select('hash')
    .where('hash', '=', hashOf(ticket))
    .where('user', '=', user)
    .where('session', '=', session)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  if (found === undefined) throw new StenoError('ACCESS_DENIED', `${user} has no ticket to write notes on this session, or it has run out`);
}

/** In the order of the sessions' time; notes on the whole session come first. */
async function notesOf(db: Reader, sessions: readonly string[]): Promise<readonly Note[]> {
  const notes: Note[] = [];
  for (const part of chunks(sessions)) {
    const rows = await db.selectFrom('notes').selectAll().where('session', 'in', part).where('removed_at', 'is', null).execute();
    for (const { id, session, offset_ms, text, created_by, created_at } of rows)
      notes.push({
        ...{ id, session, text, created_by, created_at: Number(created_at) },
        offset: offset_ms === null ? null : Number(offset_ms),
      });
  }
  return notes.sort((a, b) => (a.offset ?? -1) - (b.offset ?? -1) || a.created_at - b.created_at || (a.id < b.id ? -1 : 1));
}
