/** Notes and bookmarks on a moment of a session. `steno note`; beside the replay. */
import { z } from 'zod';
import { endpoint, noAnswer, noBody, relayedSignedIn } from '../../endpoint/endpoint.js';
import { list, moment, record, token } from '../../endpoint/fields.js';
import { sessionIdPattern } from '../../events/rows.js';

export const MAX_NOTE = 4096;
export const MAX_NOTES = 1000;
/** Most sessions in one request. */
export const MAX_NOTED_SESSIONS = 200;

export const noteText = z.string().max(MAX_NOTE);
export const sessionId = z.string().regex(sessionIdPattern, 'is not the id of a session');
/** Session time in ms. */
export const offsetField = z.int().min(0).max(999_999_999_999);
const noteId = z.string().regex(/^n-[0-9a-z]{12}$/, 'is not the id of a note');

export const note = record({
  id: z.string(),
  session: z.string(),
  /** Session time in ms; null: about the session as a whole. */
  offset: z.number().nullable(),
  /** '' is a bookmark. */
  text: z.string(),
  created_by: z.string(),
  created_at: moment,
});
export type Note = z.output<typeof note>;

export const noteTicket = record({ ticket: z.string(), expires_at: moment });

export const addNote = endpoint({
  method: 'POST',
  path: '/v1/notes',
  summary:
    'Write a note on a moment of a session that the caller may view; without text it is a bookmark. Everybody who may view the session can read it.',
  admits: ['note:create', 'viewer'],
  relayed: { ...relayedSignedIn, bodyLimit: 32_768 },
  event: 'note.add',
  params: z.strictObject({}),
  body: z
    .strictObject({
      session: sessionId,
      offset: offsetField.nullable(),
      text: noteText.default(''),
      /** Issued by a viewer for this session. */
      ticket: token,
    })
    .refine(({ offset, text }) => offset !== null || text.trim() !== '', { path: ['text'], message: 'a bookmark has a moment' }),
  answer: note,
  errors: ['TOO_MANY'],
});

export const makeNoteTicket = endpoint({
  method: 'POST',
  path: '/v1/note-tickets',
  summary:
    'Create a ticket with which a user may write notes on a session for ten minutes. For viewers, once they have decided that the user may view the session.',
  admits: ['viewer'],
  event: 'note.ticket',
  params: z.strictObject({}),
  body: z.strictObject({ user: z.string().min(1).max(255), session: sessionId }),
  answer: noteTicket,
  errors: [],
});

export const removeNote = endpoint({
  method: 'DELETE',
  path: '/v1/notes/:name',
  summary: 'Remove a note: for its author, and for users who may delete notes. It is kept but no longer shown.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'note.remove',
  params: z.strictObject({ name: noteId }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const readNotes = endpoint({
  method: 'POST',
  path: '/v1/session-notes',
  summary: 'List the notes of some sessions. For viewers, which show the notes of a session to users who may view it.',
  admits: ['viewer'],
  event: 'note.read',
  params: z.strictObject({}),
  body: z.strictObject({ sessions: z.array(sessionId).min(1).max(MAX_NOTED_SESSIONS) }),
  answer: list(note),
  errors: [],
});

export const noteEndpoints = [addNote, makeNoteTicket, removeNote, readNotes] as const;
