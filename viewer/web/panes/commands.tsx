/**
 * The commands of a session with how each is known, and in between, programs that ran without appearing on the screen. Each row seeks
 * to its moment.
 */
import { useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import type { CommandList, CommandUnit, HiddenProgram } from '#schemas/api/recordings/commands.js';
import { clock, duration } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { latestRow } from './process-rows.js';
import { VirtualList } from './virtual-list.js';

export type CommandRow =
  | { readonly kind: 'command'; readonly key: string; readonly start: number; readonly command: CommandUnit }
  | { readonly kind: 'hidden'; readonly key: string; readonly start: number; readonly program: HiddenProgram };

/** In order of time. Programs started by other programs are included only on request. */
export function commandRows({ commands, hidden }: Pick<CommandList, 'commands' | 'hidden'>): readonly CommandRow[] {
  const rows: CommandRow[] = [
    ...commands.map((command): CommandRow => ({ kind: 'command', key: `c${command.place}`, start: command.at, command })),
    ...hidden.map((program, i): CommandRow => ({ kind: 'hidden', key: `h${i}`, start: program.at, program })),
  ];
  return rows.sort((a, b) => a.start - b.start);
}

const shows = ['all', 'commands', 'hidden', 'never'] as const;
type Show = (typeof shows)[number];
const showText: Readonly<Record<Show, string>> = {
  all: 'All',
  commands: 'Commands',
  hidden: 'Ran, never shown',
  never: 'Shown, never ran',
};
const verdictText = {
  ran: 'seen by the kernel',
  builtin: 'done by the shell itself',
  never_ran: 'shown, but no program was started for it',
  unknown: 'read from the screen alone',
} as const;

/** How a command is known, and its outcome. */
function knownText({ known, verdict }: CommandUnit): string {
  if (known !== 'marks') return verdictText[verdict];
  return verdict === 'unknown' ? 'marked by the shell' : `marked by the shell, ${verdictText[verdict]}`;
}

export function Commands({
  list,
  position,
  soFar,
  onSeek,
  onMore,
}: {
  readonly list: CommandList;
  readonly position: number;
  readonly soFar: boolean;
  readonly onSeek: (ms: number) => void;
  readonly onMore: () => void;
}): ReactNode {
  const [show, setShow] = useState<Show>('all');
  const rows = useMemo(() => commandRows(list), [list]);
  const counts: Readonly<Record<Show, number>> = useMemo(
    () => ({
      all: rows.length,
      commands: list.commands.length,
      hidden: list.hidden.length,
      never: list.commands.filter(({ verdict }) => verdict === 'never_ran').length,
    }),
    [rows, list],
  );
  const kept = useMemo(
    () =>
      rows.filter((row) => {
        if (show === 'all') return true;
        if (row.kind === 'hidden') return show === 'hidden';
        return show === 'commands' || (show === 'never' && row.command.verdict === 'never_ran');
      }),
    [rows, show],
  );
  const shown = useMemo(() => (soFar ? kept.filter(({ start }) => start <= position) : kept), [kept, soFar, position]);
  return (
    <>
      <div className="chips" role="group" aria-label="What is listed">
        {shows.map((each) => (
          <button key={each} type="button" className="chip" aria-pressed={each === show} onClick={() => setShow(each)}>
            {showText[each]}{' '}
            <span className={each === 'hidden' || each === 'never' ? 'count alert' : 'count'}>{counts[each].toLocaleString()}</span>
          </button>
        ))}
      </div>
      {shown.length === 0 ? (
        <p className="pane-empty">{emptyText(show, list.watched, kept.length > 0)}</p>
      ) : (
        <VirtualList
          label="Commands"
          count={shown.length}
          rowHeight={42}
          follow={latestRow(shown, position)}
          keyOf={(i) => shown[i]!.key}
          row={(i, tabIndex) => <Row row={shown[i]!} position={position} tabIndex={tabIndex} onSeek={onSeek} />}
        />
      )}
      {(list.until !== null || !list.watched) && (
        <p className="pane-foot">
          {!list.watched && 'No kernel events: what ran is not known beyond what the screen shows. '}
          {list.until !== null && (
            <>
              Told up to {clock(list.until)}.{' '}
              <button type="button" className="seek" onClick={onMore}>
                Go on
              </button>
            </>
          )}
        </p>
      )}
    </>
  );
}

function emptyText(show: Show, watched: boolean, later: boolean): string {
  if (later) return 'None up to this moment.';
  if (show === 'never') return watched ? 'Every command on the screen is one that ran.' : 'Without kernel events this cannot be told.';
  if (show === 'hidden') return watched ? 'Every program that ran was named on the screen.' : 'Without kernel events this cannot be told.';
  return 'No prompt was recognized on the screen of this session.';
}

function Row({
  row,
  position,
  tabIndex,
  onSeek,
}: {
  readonly row: CommandRow;
  readonly position: number;
  readonly tabIndex: 0 | -1;
  readonly onSeek: (ms: number) => void;
}): ReactNode {
  const { start } = row;
  const alert = row.kind === 'hidden' ? row.program.direct || row.program.inside === null : row.command.verdict === 'never_ran';
  const isCurrent = row.kind === 'command' && start <= position && position < row.command.until;
  return (
    <button
      type="button"
      className={`pane-row touched ${row.kind} tone-${alert ? 'alert' : 'plain'} phase-${start > position ? 'before' : isCurrent ? 'current' : 'done'}`}
      aria-current={isCurrent ? 'true' : undefined}
      tabIndex={tabIndex}
      onClick={() => onSeek(start)}
    >
      <span className="pane-time">{clock(start)}</span>
      {row.kind === 'command' ? <CommandCells command={row.command} /> : <HiddenCells program={row.program} />}
    </button>
  );
}

function CommandCells({ command }: { readonly command: CommandUnit }): ReactNode {
  const { text, prompt, exit, lasted, programs, ran } = command;
  const isFailure = exit !== null && exit !== '0';
  return (
    <>
      <span className="pane-what">
        <span className="command-text mono" title={prompt.slice(0, 200)}>
          <SafeText text={text} />
        </span>
        <span className="touched-what">
          {knownText(command)}
          {programs > ran.length && `, ${programs.toLocaleString()} programs`}
          {lasted !== null && `, ${duration(lasted)}`}
        </span>
      </span>
      {isFailure && (
        <span className="pane-exit">
          <span className="sr">exit </span>
          <SafeText text={exit} />
        </span>
      )}
    </>
  );
}

function HiddenCells({ program: { text, by, times, direct } }: { readonly program: HiddenProgram }): ReactNode {
  return (
    <span className="pane-what">
      <span className="command-text mono">
        <SafeText text={text} />
      </span>
      <span className="touched-what">
        ran, never shown
        {by !== '' && (
          <>
            ; started by {direct ? 'the shell: ' : ''}
            <SafeText text={by.slice(0, 120)} />
          </>
        )}
        {times > 1 && <span className="touched-times"> {times.toLocaleString()} times</span>}
      </span>
    </span>
  );
}
