/**
 * Notes next to a replay: the list of notes on moments of the session, and the form for a new one. `useNotes` gives the session page
 * the notes for its timeline.
 */
import { useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import type { Note } from '#schemas/api/cases/notes.js';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { ApiFailure } from '../parts/api.js';
import { Failure } from '../parts/basics.js';
import { ask } from '../parts/endpoints.js';
import { clock, isoTime, moment } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import { AddToCase } from './add-to-case.js';
import { SafeLines } from '../parts/safe-lines.js';
import './cases.css';

const REFRESH_MS = 10_000;
const none: readonly never[] = [];

/** The part of a replay that notes need. */
export interface Position {
  readonly position: number;
  seek(ms: number): unknown;
}

export interface Notes {
  readonly notes: readonly Note[];
  /** Marks on a timeline. */
  readonly markers: readonly { readonly at: number; readonly label: string; readonly kind: 'note' }[];
  readonly error: ApiFailure | null;
  readonly reload: () => void;
}

/** `ready`: whether the replay is drawn; notes are loaded after it. */
export function useNotes(session: string, ready: boolean): Notes {
  const { data, error, reload } = useAnswer('GET /api/sessions/:id/notes', ready ? { params: { id: session } } : null, REFRESH_MS);
  const notes = data ?? none;
  const markers = useMemo(
    () =>
      notes.flatMap(({ offset, text, created_by: by }) =>
        offset === null ? [] : [{ at: offset, kind: 'note' as const, label: `${by}: ${text === '' ? 'bookmark' : text}` }],
      ),
    [notes],
  );
  return { notes, markers, error, reload };
}

export interface NotesPanelProps {
  readonly session: string;
  readonly me: Me;
  readonly notes: Notes;
  /** Null while there is nothing to replay. */
  readonly replay: Position | null;
}

export function NotesPanel({ session, me, notes: { notes, error, reload }, replay }: NotesPanelProps): ReactNode {
  const may = me.notes && replay !== null;
  if (!may && notes.length === 0 && !me.cases.update) return null;
  return (
    <div className="notes">
      <div className="notes-head">
        <h2>Notes</h2>
        {replay !== null && (
          <AddToCase
            me={me}
            label="Add this moment to a case"
            items={() => [{ kind: 'moment', session, offset: Math.round(replay.position) }]}
          />
        )}
      </div>
      {error !== null && <Failure error={error} />}
      {notes.length > 0 && (
        <ol className="notes-list">
          {notes.map((note) => (
            <OneNote key={note.id} note={note} me={me} onSeek={(ms) => void replay?.seek(ms)} onChange={reload} />
          ))}
        </ol>
      )}
      {may && <WriteNote session={session} replay={replay} onChange={reload} />}
    </div>
  );
}

interface OneNoteProps {
  readonly note: Note;
  readonly me: Me;
  readonly onSeek: (ms: number) => void;
  readonly onChange: () => void;
}

function OneNote({ note: { id, offset, text, created_by: by, created_at: at }, me, onSeek, onChange }: OneNoteProps): ReactNode {
  const [error, setError] = useState<ApiFailure | null>(null);
  return (
    <li>
      {offset === null ? (
        <span className="note-at hint">all</span>
      ) : (
        <button type="button" className="quiet note-at" onClick={() => onSeek(offset)} title="Go there">
          {clock(offset)}
        </button>
      )}
      <div>
        <p className="note-text">{text === '' ? <span className="hint">Bookmark</span> : <SafeLines text={text} />}</p>
        <p className="note-by">
          <SafeText text={by} />, <time dateTime={isoTime(at)}>{moment(at)}</time>
          {by === me.user && (
            <button
              type="button"
              className="quiet"
              onClick={() => {
                ask('DELETE /api/notes/:name', { params: { name: id } }).then(onChange, (failure: unknown) =>
                  setError(failure as ApiFailure),
                );
              }}
            >
              Take back
            </button>
          )}
        </p>
        {error !== null && <Failure error={error} />}
      </div>
    </li>
  );
}

function WriteNote({
  session,
  replay,
  onChange,
}: {
  readonly session: string;
  readonly replay: Position;
  readonly onChange: () => void;
}): ReactNode {
  const [text, setText] = useState('');
  // The moment at which the user began to write: the replay may continue meanwhile.
  const [at, setAt] = useState<number | null>(null);
  const [error, setError] = useState<ApiFailure | null>(null);
  const save = (offset: number, words: string): void => {
    ask('GET /api/sessions/:id/note-ticket', { params: { id: session } })
      .then(({ ticket }) => ask('POST /api/notes', { body: { session, offset, text: words, ticket } }))
      .then(
        () => {
          setError(null);
          setText('');
          setAt(null);
          onChange();
        },
        (failure: unknown) => setError(failure as ApiFailure),
      );
  };
  const here = (): number => Math.round(at ?? replay.position);
  return (
    <form
      className="note-form"
      onSubmit={(event) => {
        event.preventDefault();
        save(here(), text);
      }}
    >
      <textarea
        value={text}
        rows={1}
        maxLength={4096}
        placeholder="A note on this moment"
        aria-label="A note on this moment"
        onFocus={() => setAt((before) => before ?? replay.position)}
        onBlur={() => text.trim() === '' && setAt(null)}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || text.trim() === '') return;
          event.preventDefault();
          save(here(), text);
        }}
      />
      <button type="submit" className="case-button strong" disabled={text.trim() === ''}>
        {at === null ? 'Write' : `Write at ${clock(at)}`}
      </button>
      <button type="button" className="case-button" onClick={() => save(Math.round(replay.position), '')}>
        Bookmark
      </button>
      {error !== null && <Failure error={error} />}
    </form>
  );
}
