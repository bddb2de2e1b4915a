/**
 * Cases and notes as one user may read them. The authority keeps them and knows only the ids of sessions; this module adds their
 * subjects, and only those that the user may view:
 *
 * - a session, a moment and the notes on them: users who may view the session;
 * - a finding: users who may also read findings (../findings/findings.ts);
 * - a search, the title, summary and history of a case: users who may read cases.
 *
 * Omitted entries are counted, and nothing else about them is revealed. Tested in test/cases/visibility.test.ts.
 */
import type { CaseBook, CaseHead, CaseItem } from '#schemas/api/cases/cases.js';
import { listCaseHeads, readCase } from '#schemas/api/cases/cases.js';
import { MAX_NOTED_SESSIONS, readNotes } from '#schemas/api/cases/notes.js';
import type { Note } from '#schemas/api/cases/notes.js';
import type { CaseView, TimelineEntry, listCases } from '#schemas/api/cases/workbench.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { EventStore } from '#stores/events/contract.js';
import type { z } from 'zod';
import { requireReading } from '../access/access.js';
import type { Access, Viewer } from '../access/access.js';
import type { ViewerAuthority } from '../access/identity.js';
import type { Findings } from '../findings/findings.js';
import type { Sessions } from '../sessions/sessions.js';

export interface CaseParts {
  readonly authority: Pick<ViewerAuthority, 'relaying'>;
  readonly events: EventStore;
  readonly access: Access;
  readonly sessions: Sessions;
  readonly findings: Findings;
}

const LOOKED_UP_AT_ONCE = 8;

/** The entries of a case that its reader may view. */
export interface ReadableCase {
  readonly book: CaseBook;
  /** By session id. */
  readonly sessions: ReadonlyMap<string, SessionRow>;
  readonly timeline: readonly TimelineEntry[];
  readonly hidden: number;
}

export async function headsFor(parts: CaseParts, viewer: Viewer, state: z.output<typeof listCases.query>['state']): Promise<CaseHead[]> {
  requireReading(viewer, 'case');
  const heads = await call(asViewer(parts), listCaseHeads, {});
  return heads.filter((head) => state === 'all' || (state === 'unsettled' ? head.state !== 'closed' : head.state === state));
}

export async function caseFor(parts: CaseParts, viewer: Viewer, id: string): Promise<CaseView> {
  const { book, sessions, timeline, hidden } = await readableCase(parts, viewer, id);
  const infos = [...sessions.values()].sort((a, b) => a.started_at - b.started_at).map((row) => parts.sessions.info(row));
  return { head: book.head, summary: book.summary, timeline, sessions: infos, hidden };
}

/** Throws ACCESS_DENIED, NOT_FOUND. */
export async function readableCase(parts: CaseParts, viewer: Viewer, id: string): Promise<ReadableCase> {
  requireReading(viewer, 'case');
  if (!/^c-[0-9a-z]{10}$/.test(id)) throw new StenoError('NOT_FOUND', 'case');
  const book = await call(asViewer(parts), readCase, { params: { name: id } });
  const sessions = new Map<string, SessionRow>();
  const named = [...new Set(book.items.map(({ session }) => session).filter((session) => session !== ''))];
  await inTurn(named, async (session) => {
    const row = await parts.events.session(session);
    if (row !== undefined && parts.access.may(viewer, 'view', row)) sessions.set(session, row);
  });
  const shown = new Map<string, readonly TimelineEntry[]>();
  await inTurn(book.items, async (item) => {
    const entries = await entriesOf(parts, viewer, item, sessions);
    if (entries !== null) shown.set(item.id, entries);
  });
  const timeline = [
    ...book.items.flatMap(({ id: item }) => shown.get(item) ?? []),
    ...(await notesOf(parts, [...sessions.keys()])).map((note) => noteEntry(note, sessions.get(note.session)!)),
    ...book.history.map(({ at, by, kind, text }): TimelineEntry => ({ ...blank, kind: 'history', at, by, title: kind, text })),
  ];
  // Entries of the same moment stay in the order in which they were added.
  const order = new Map(timeline.map((entry, i) => [entry, i]));
  timeline.sort((a, b) => a.at - b.at || order.get(a)! - order.get(b)!);
  return { book, sessions, timeline, hidden: book.items.length - shown.size };
}

/** Throws SESSION_UNKNOWN and ACCESS_DENIED as for the session itself; showing its notes counts as viewing the session. */
export async function notesFor(parts: CaseParts, viewer: Viewer, source: string, session: string): Promise<readonly Note[]> {
  const row = await parts.sessions.row({ viewer, action: 'view', source }, session);
  return notesOf(parts, [row.session]);
}

async function notesOf(parts: CaseParts, sessions: readonly string[]): Promise<readonly Note[]> {
  const notes: Note[] = [];
  for (let from = 0; from < sessions.length; from += MAX_NOTED_SESSIONS)
    notes.push(...(await call(asViewer(parts), readNotes, { body: { sessions: sessions.slice(from, from + MAX_NOTED_SESSIONS) } })));
  return notes;
}

const blank = { item: '', session: '', offset: null, title: '', text: '', by: '', severity: '', link: null } as const;

/** Null: this reader may not see the entry. */
async function entriesOf(
  { findings }: CaseParts,
  viewer: Viewer,
  item: CaseItem,
  sessions: ReadonlyMap<string, SessionRow>,
): Promise<readonly TimelineEntry[] | null> {
  const { id, kind, session, offset, note: text, added_by: by } = item;
  switch (kind) {
    case 'search': {
      const link = `/search?${new URLSearchParams({ q: item.query })}`;
      return [{ ...blank, kind, at: item.added_at, item: id, title: item.query, text, by, link }];
    }
    case 'finding': {
      const found = await findings.named(viewer, item.finding);
      if (found === undefined) return null;
      const { at, severity, title, link } = found;
      const words = text === '' ? found.reason : text;
      return [{ ...blank, kind, at, item: id, session: found.session, offset: found.offset, title, text: words, by, severity, link }];
    }
    case 'session': {
      const row = sessions.get(session);
      if (row === undefined) return null;
      const same = { ...blank, item: id, session, link: `/sessions/${session}` };
      const started: TimelineEntry = { ...same, kind: 'started', at: row.started_at, offset: 0, title: row.command, text, by };
      if (row.ended_at === null) return [started];
      const length = Math.max(0, row.ended_at - row.started_at);
      return [started, { ...same, kind: 'ended', item: '', at: row.ended_at, offset: length }];
    }
    case 'moment': {
      const row = sessions.get(session);
      if (row === undefined) return null;
      const at = row.started_at + (offset ?? 0);
      return [{ ...blank, kind, at, item: id, session, offset, text, by, link: linkTo(session, offset) }];
    }
  }
}

function noteEntry({ session, offset, text, created_by: by }: Note, { started_at }: SessionRow): TimelineEntry {
  return { ...blank, kind: 'note', at: started_at + (offset ?? 0), session, offset, text, by, link: linkTo(session, offset) };
}

function linkTo(session: string, offset: number | null): string {
  return `/sessions/${session}${offset === null ? '' : `?t=${offset}`}`;
}

/** Sends as the viewer service itself; the answer is restricted in this module. */
export function asViewer({ authority }: Pick<CaseParts, 'authority'>): Send {
  return authority.relaying({ client: '' });
}

async function inTurn<T>(all: readonly T[], each: (one: T) => Promise<void>): Promise<void> {
  const waiting = [...all].reverse();
  const lane = async (): Promise<void> => {
    for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) await each(one);
  };
  await Promise.all(Array.from({ length: LOOKED_UP_AT_ONCE }, lane));
}
