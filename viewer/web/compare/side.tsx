/** One of two sessions: its replay with its own clock. Keyboard shortcuts apply to the side that was used last. */
import { useCallback, useMemo, useRef } from 'react';
import type { CSSProperties, ReactNode } from 'react';
import { Link } from 'wouter';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { Watermark as Mark } from '#schemas/offline/watermark.js';
import { StateBadge } from '../parts/basics.js';
import { clock, duration, isoTime, moment } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { Watermark } from '../parts/watermark.js';
import { Controls, useReplayKeys } from '../player/controls.js';
import { KeyHelp } from '../player/key-help.js';
import type { Replay, ReplayIndex } from '#schemas/player/replay.js';
import { Terminal, aspect, toggleFullscreen } from '../player/terminal.js';
import { Timeline } from '../player/timeline.js';
import { usePosition, useReplayState } from '../player/use-replay.js';

const none: readonly never[] = [];
export type SideName = 'left' | 'right';
export const sideTitle: Readonly<Record<SideName, string>> = { left: 'Left', right: 'Right' };

export interface SideProps {
  readonly side: SideName;
  readonly session: SessionInfo;
  readonly replay: Replay;
  readonly index: ReplayIndex;
  readonly watermark: Mark | undefined;
  /** Start times of the commands, ascending, in ms. */
  readonly stops: readonly number[];
  readonly active: boolean;
  readonly onActive: (side: SideName) => void;
}

export function Side({ side, session, replay, index, watermark, stops, active, onActive }: SideProps): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const help = useRef<HTMLDialogElement>(null);
  const state = useReplayState(replay);
  const onStop = useCallback(
    (step: 1 | -1) => {
      const here = replay.position;
      const next = step === 1 ? stops.find((at) => at > here + 1) : stops.findLast((at) => at < here - 1);
      if (next !== undefined) void replay.seek(next);
    },
    [replay, stops],
  );
  const actions = useMemo(
    () => ({
      onFullscreen: () => toggleFullscreen(box.current),
      onHit: () => undefined,
      onStop,
      onHelp: () => help.current?.showModal(),
    }),
    [onStop],
  );
  useReplayKeys(active ? replay : null, actions);
  return (
    <section
      className="side"
      aria-label={`${sideTitle[side]} session`}
      data-side={side}
      data-active={active}
      onPointerDown={() => onActive(side)}
      onFocus={() => onActive(side)}
    >
      <SideHead side={side} session={session} />
      <div className="player" ref={box} data-phase={state.phase}>
        <div className="screen" style={{ '--aspect': aspect(index.cols, index.rows) } as CSSProperties}>
          <Terminal replay={replay} cols={index.cols} rows={index.rows} />
          {state.phase === 'failed' && (
            <div className="screen-note" role="alert">
              This part cannot be read: {state.error}
            </div>
          )}
        </div>
        <div className="deck">
          <Timeline replay={replay} timeline={null} markers={none} />
          <Controls replay={replay} onFullscreen={actions.onFullscreen} onHelp={actions.onHelp} />
        </div>
        <KeyHelp dialog={help} />
        <Watermark mark={watermark} />
      </div>
      <Clock replay={replay} startedAt={session.started_at} />
    </section>
  );
}

function SideHead({ side, session }: Pick<SideProps, 'side' | 'session'>): ReactNode {
  return (
    <header className="side-head">
      <h2>
        <span className="side-name">{sideTitle[side]}</span>{' '}
        <Link to={`/sessions/${session.id}`}>
          <SafeText text={`${session.user} → ${session.login}@${session.node}`} />
        </Link>
      </h2>
      <p className="sub">
        <time dateTime={isoTime(session.started_at)}>{moment(session.started_at)}</time>
        <span>{duration(session.duration)}</span>
        <StateBadge state={session.state} />
      </p>
    </header>
  );
}

/** The wall-clock time of the current position. */
function Clock({ replay, startedAt }: { readonly replay: Replay; readonly startedAt: number }): ReactNode {
  const position = usePosition(replay);
  return (
    <p className="side-clock">
      {clock(position)} into the session, {moment(startedAt + position)}
    </p>
  );
}
