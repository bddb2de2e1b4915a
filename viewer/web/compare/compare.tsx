/** Two sessions side by side: two replays, each with its own clock, and below them the differences in commands. `?a=ID&b=ID`. */
import { useCallback, useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import { isSessionId } from '#schemas/recording/line.js';
import { Empty, Failure, useTitle } from '../parts/basics.js';
import { clock } from '../parts/format.js';
import { queryText } from '../parts/query-text.js';
import { useAnswer } from '../parts/use-json.js';
import { useOpening } from '../parts/use-opening.js';
import { Watermark } from '../parts/watermark.js';
import type { Replay } from '#schemas/player/replay.js';
import { useReplay } from '../player/use-replay.js';
import { Rows } from './rows.js';
import { Side } from './side.js';
import type { SideName } from './side.js';
import './compare.css';

const none: readonly never[] = [];

export function ComparePage(): ReactNode {
  const [query] = useSearchParams();
  const [a, b] = [query.get('a') ?? '', query.get('b') ?? ''];
  if (!isSessionId(a) || !isSessionId(b) || a === b)
    return (
      <section className="page">
        <Empty title="Two sessions are needed">
          <p>
            <Link to="/sessions?compare=choose">Choose two in the list of sessions.</Link>
          </p>
        </Empty>
      </section>
    );
  return <Compared key={`${a} ${b}`} a={a} b={b} />;
}

function Compared({ a, b }: { readonly a: string; readonly b: string }): ReactNode {
  useTitle('Two sessions');
  const { data, error } = useAnswer('GET /api/sessions/:id/compare/:other', { params: { id: a, other: b } });
  const [first, second] = [useOpening(a, null), useOpening(b, null)];
  const [left, right] = [useReplay(first.opened, 0), useReplay(second.opened, 0)];
  const [active, setActive] = useState<SideName>('left');
  const onSeek = useCallback((side: SideName, ms: number) => void (side === 'left' ? left : right)?.replay.seek(ms), [left, right]);
  const rows = data?.rows ?? none;
  const stops = useMemo(
    () => ({ left: rows.flatMap((row) => row.left?.at ?? []), right: rows.flatMap((row) => row.right?.at ?? []) }),
    [rows],
  );
  const both = (act: (replay: Replay) => void): void => {
    for (const open of [left, right]) if (open !== null) act(open.replay);
  };
  const sides = [
    ['left', first, left, stops.left],
    ['right', second, right, stops.right],
  ] as const;
  return (
    <section className="page compare">
      <div className="page-head">
        <h1>Two sessions</h1>
        <div className="compare-acts">
          <button type="button" className="case-button" onClick={() => both((replay) => void replay.seek(0))}>
            Both to the start
          </button>
          <button
            type="button"
            className="case-button strong"
            onClick={() => both((replay) => replay.state.phase !== 'playing' && replay.toggle())}
          >
            Play both
          </button>
          <button
            type="button"
            className="case-button"
            onClick={() => both((replay) => replay.state.phase === 'playing' && replay.toggle())}
          >
            Pause both
          </button>
          <Link className="quiet" to={`/compare${queryText({ a: b, b: a })}`}>
            Swap sides
          </Link>
        </div>
      </div>
      <div className="sides">
        {sides.map(([side, { opened, error: refused }, open, at]) => (
          <div key={side} className="side-box">
            {refused !== null && <Failure error={refused} />}
            {opened === null || open === null ? (
              <div className="player player-waiting" aria-busy={refused === null} />
            ) : (
              <Side
                side={side}
                session={opened.session}
                replay={open.replay}
                index={open.index}
                watermark={opened.watermark}
                stops={at}
                active={active === side}
                onActive={setActive}
              />
            )}
          </div>
        ))}
      </div>
      {error !== null && <Failure error={error} />}
      {data !== null && (
        <div className="marked">
          <Rows rows={rows} onSeek={onSeek} />
          {(['left', 'right'] as const).map((side) => {
            const until = data.until[side];
            return until === null ? null : (
              <p key={side} className="hint">
                The {side} session is compared up to {clock(until)}.
              </p>
            );
          })}
          <Watermark mark={first.opened?.watermark ?? second.opened?.watermark} />
        </div>
      )}
    </section>
  );
}
