/** The commands of two sessions in aligned rows. Clicking a time seeks that side; the arrow seeks both sides. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import type { ComparedCommand, ComparedRow, OutputLine } from '#schemas/api/recordings/compare.js';
import { clock, duration } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { sideTitle } from './side.js';
import type { SideName } from './side.js';

/** Rows drawn at first; more on demand. */
const PAGE = 200;

const kindText: Readonly<Record<ComparedRow['kind'], string>> = {
  same: 'In both',
  changed: 'Same program, other arguments',
  left: 'Left only',
  right: 'Right only',
};

/** Whether the row shows no difference. */
function isSame(row: ComparedRow): boolean {
  return row.kind === 'same' && row.output === 'same' && row.left?.exit === row.right?.exit;
}

export interface RowsProps {
  readonly rows: readonly ComparedRow[];
  readonly onSeek: (side: SideName, ms: number) => void;
}

export function Rows({ rows, onSeek }: RowsProps): ReactNode {
  const [all, setAll] = useState(false);
  const [shown, setShown] = useState(PAGE);
  const differing = rows.filter((row) => !isSame(row));
  const listed = all ? rows : differing;
  return (
    <section className="compared" aria-label="Commands of both sessions">
      <div className="compared-bar">
        <h2>Commands</h2>
        <div className="chips" role="group" aria-label="What is listed">
          <button type="button" className="chip" aria-pressed={!all} onClick={() => setAll(false)}>
            Differences <span className="count">{differing.length.toLocaleString()}</span>
          </button>
          <button type="button" className="chip" aria-pressed={all} onClick={() => setAll(true)}>
            All <span className="count">{rows.length.toLocaleString()}</span>
          </button>
        </div>
      </div>
      {listed.length === 0 ? (
        <p className="pane-empty">
          {rows.length === 0
            ? 'No prompt was recognized on either screen: there are no commands to compare. The replays stand beside each other above.'
            : 'The same commands with the same output, in the same order.'}
        </p>
      ) : (
        <ol className="compared-rows">
          {listed.slice(0, shown).map((row, i) => (
            <Row key={`${row.left?.at ?? 'x'} ${row.right?.at ?? 'x'} ${i}`} row={row} onSeek={onSeek} />
          ))}
        </ol>
      )}
      {listed.length > shown && (
        <button type="button" className="quiet" onClick={() => setShown(shown + PAGE)}>
          {(listed.length - shown).toLocaleString()} more
        </button>
      )}
    </section>
  );
}

function Row({ row, onSeek }: { readonly row: ComparedRow; readonly onSeek: RowsProps['onSeek'] }): ReactNode {
  const { kind, left, right, output, lines, more } = row;
  const both = (): void => {
    if (left !== null) onSeek('left', left.at);
    if (right !== null) onSeek('right', right.at);
  };
  return (
    <li className={`compared-row compared-${isSame(row) ? 'same' : kind === 'same' ? 'output' : kind}`}>
      <Cell side="left" command={left} onSeek={onSeek} />
      <button type="button" className="compared-kind" onClick={both} title="Show these moments">
        {kind === 'same' && output !== 'same' ? 'Other output' : kind === 'same' && !isSame(row) ? 'Other exit code' : kindText[kind]}
      </button>
      <Cell side="right" command={right} onSeek={onSeek} />
      {output === 'cut' && <p className="compared-note">The outputs differ in length or content, and are too long to be compared here.</p>}
      {lines.length > 0 && <Lines lines={lines} more={more} />}
    </li>
  );
}

function Cell({
  side,
  command,
  onSeek,
}: {
  readonly side: SideName;
  readonly command: ComparedCommand | null;
  readonly onSeek: RowsProps['onSeek'];
}): ReactNode {
  if (command === null) return <span className={`compared-cell compared-none cell-${side}`} aria-hidden="true" />;
  const { at, text, exit, lasted } = command;
  return (
    <div className={`compared-cell cell-${side}`}>
      <button type="button" className="seek" onClick={() => onSeek(side, at)} aria-label={`${sideTitle[side]}: show ${clock(at)}`}>
        {clock(at)}
      </button>
      <code>
        <SafeText text={text} />
      </code>
      {(lasted !== null || (exit !== null && exit !== '0')) && (
        <span className="compared-facts">
          {exit !== null && exit !== '0' && (
            <span className="exit exit-bad">
              exit <SafeText text={exit} />
            </span>
          )}
          {lasted !== null && <span>{duration(lasted)}</span>}
        </span>
      )}
    </div>
  );
}

const sign = { both: ' ', left: '−', right: '+' } as const;
const lineWord = { both: 'both: ', left: 'left: ', right: 'right: ' } as const;

function Lines({ lines, more }: { readonly lines: readonly OutputLine[]; readonly more: number }): ReactNode {
  return (
    <div className="compared-lines mono" tabIndex={0} role="group" aria-label="What differs of the output">
      {lines.map(({ side, text }, i) => (
        <div key={i} className={`line-${side}`}>
          <span className="line-sign" aria-hidden="true">
            {sign[side]}
          </span>
          <span className="sr">{lineWord[side]}</span>
          <SafeText text={text} />
        </div>
      ))}
      {more > 0 && <div className="compared-note">{more.toLocaleString()} more lines differ.</div>}
    </div>
  );
}
