/** `steno note` and `steno notes`: what people write on moments of sessions. Tested in test/end-to-end/cases.test.ts. */
import { Command } from 'commander';
import { addNote, removeNote } from '#schemas/api/cases/notes.js';
import type { Note } from '#schemas/api/cases/notes.js';
import { listNotes, showNoteTicket } from '#schemas/api/cases/workbench.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { clock, json, moment, standardOutput, styled, table } from '../../terminal/output.js';
import { parseOffset } from '../sessions/play.js';

interface NoteOptions {
  readonly at?: number;
  readonly rm?: string;
  readonly json?: boolean;
}

export function noteCommand(): Command {
  return new Command('note')
    .description('write a note or a bookmark on a moment of a session')
    .argument('<session>', 'as `steno sessions` lists it')
    .argument('[text]', 'left out: a bookmark')
    .option('--at <moment>', 'session time, 1:02 or 62 seconds; left out: the whole session', parseOffset)
    .option('--rm <note>', 'take back a note instead, as `steno notes` lists it')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Whoever may view the session reads its notes. To write one takes "create" of "note" in a role.
Examples:
  steno note 01k6zq3v8c2m4n6p8r0t2v4x6z --at 1:02 "becomes root here"
  steno notes 01k6zq3v8c2m4n6p8r0t2v4x6z
`,
    )
    .action(write);
}

export function notesCommand(): Command {
  return new Command('notes')
    .description('list the notes on a session')
    .argument('<session>', 'as `steno sessions` lists it')
    .option('--json', 'print JSON')
    .action(list);
}

async function write(session: string, text: string | undefined, { at, rm, json: asJson }: NoteOptions): Promise<void> {
  const client = openClient(openHome());
  const { out, err, env } = standardOutput;
  if (rm !== undefined) {
    if (text !== undefined || at !== undefined) throw new StenoError('USAGE', '--rm takes back a note, and writes none');
    await call(client.authority, removeNote, { params: { name: rm } });
    err.write(`${rm} is taken back\n`);
    return;
  }
  if (text === undefined && at === undefined) throw new StenoError('USAGE', 'a bookmark has a moment: --at 1:02');
  // The viewer decides who may view a session; the authority, which keeps notes, knows sessions by their ids alone.
  const { ticket } = await call(client.viewer, showNoteTicket, { params: { id: session } });
  const made = await call(client.authority, addNote, { body: { session, offset: at ?? null, text: text ?? '', ticket } });
  if (asJson === true) return json(standardOutput, made);
  const where = made.offset === null ? '' : ` at ${clock(made.offset)}`;
  out.write(`${styled(out, env, 'green', '✓')} ${made.text === '' ? 'bookmark' : 'note'} ${made.id}${where}\n`);
}

async function list(session: string, { json: asJson }: NoteOptions): Promise<void> {
  const notes = await call(openClient(openHome()).viewer, listNotes, { params: { id: session } });
  if (asJson === true) return json(standardOutput, notes);
  if (notes.length === 0) standardOutput.err.write('No notes on this session. `steno note SESSION --at 1:02 "TEXT"` writes one.\n');
  table<Note>(standardOutput, notes, [
    { title: 'AT', value: ({ offset }) => (offset === null ? '' : clock(offset)), align: 'right', style: () => 'bold' },
    { title: 'BY', value: ({ created_by: by }) => by },
    { title: 'WRITTEN', value: ({ created_at: at }) => moment(at), style: () => 'dim' },
    { title: 'ID', value: ({ id }) => id, style: () => 'dim' },
    { title: 'NOTE', value: ({ text }) => (text === '' ? '(bookmark)' : text.replace(/\s+/g, ' ')) },
  ]);
}
