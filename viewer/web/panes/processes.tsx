/** The processes of a session at the current moment: running, ended, and not yet started. Each row seeks to the start of its process. */
import { useMemo } from 'react';
import type { ReactNode } from 'react';
import { clock } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { latestRow, phaseOf } from './process-rows.js';
import type { ProcessRow } from './process-rows.js';
import { VirtualList } from './virtual-list.js';

const ROW_HEIGHT = 26;
const phaseText = { before: 'not started yet', now: 'running', over: 'ended' } as const;

export function Processes({
  rows,
  position,
  soFar,
  onSeek,
  onEnd,
}: {
  readonly rows: readonly ProcessRow[];
  readonly position: number;
  readonly soFar: boolean;
  readonly onSeek: (ms: number) => void;
  readonly onEnd: () => void;
}): ReactNode {
  const shown = useMemo(() => (soFar ? rows.filter(({ start }) => start <= position) : rows), [rows, soFar, position]);
  if (shown.length === 0) return <p className="pane-empty">Nothing has run up to this moment.</p>;
  return (
    <VirtualList
      label="Processes"
      count={shown.length}
      rowHeight={ROW_HEIGHT}
      follow={latestRow(shown, position)}
      keyOf={(i) => shown[i]!.key}
      onEnd={onEnd}
      row={(i, tabIndex) => <Row row={shown[i]!} phase={phaseOf(shown[i]!, position)} tabIndex={tabIndex} onSeek={onSeek} />}
    />
  );
}

function Row({
  row,
  phase,
  tabIndex,
  onSeek,
}: {
  readonly row: ProcessRow;
  readonly phase: 'before' | 'now' | 'over';
  readonly tabIndex: 0 | -1;
  readonly onSeek: (ms: number) => void;
}): ReactNode {
  const isProcess = row.kind !== 'act';
  return (
    <button
      type="button"
      className={`pane-row ${row.kind} phase-${isProcess || phase === 'before' ? phase : 'done'}`}
      tabIndex={tabIndex}
      onClick={() => onSeek(row.start)}
    >
      <span className="pane-time">{clock(row.start)}</span>
      <span className="pane-what mono" style={{ paddingLeft: row.depth * 14 }}>
        {row.again && <span aria-label="became">→ </span>}
        {row.kind === 'login' ? (
          <em>the login by the node service</em>
        ) : row.kind === 'copy' ? (
          <em>a copy of its parent</em>
        ) : (
          <SafeText text={row.text} />
        )}
      </span>
      {isProcess && <span className="sr">, {phaseText[phase]}</span>}
      {row.exit !== null && row.exit !== '0' && phase === 'over' && (
        <span className="pane-exit">
          <span className="sr">exit </span>
          <SafeText text={row.exit} />
        </span>
      )}
      {isProcess && phase === 'now' && <span className="pane-running" title="Running at this moment" aria-hidden="true" />}
    </button>
  );
}
