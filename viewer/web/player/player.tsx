/** The player: terminal, timeline, controls, and the hits of a search to step through. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { CSSProperties, ReactNode } from 'react';
import type { SessionTimeline } from '#schemas/api/recordings/replay.js';
import type { Watermark as Mark } from '#schemas/offline/watermark.js';
import type { SearchHit } from '#schemas/api/recordings/search.js';
import { clock } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { Watermark } from '../parts/watermark.js';
import { Controls, useReplayKeys } from './controls.js';
import { KeyHelp } from './key-help.js';
import type { Replay, ReplayIndex } from '#schemas/player/replay.js';
import { Terminal, aspect, toggleFullscreen } from './terminal.js';
import { Timeline } from './timeline.js';
import type { TimelineMarker } from './lanes.js';
import { usePosition, useReplayState } from './use-replay.js';

/**
 * Once a live session has grown by more than this, it may be searched again, but only on request: each search is written to the audit
 * log.
 */
const UNSEARCHED_MS = 1_000;

export interface PlayerProps {
  readonly replay: Replay;
  readonly index: ReplayIndex;
  /** Null while unknown. */
  readonly timeline: SessionTimeline | null;
  readonly markers: readonly TimelineMarker[];
  /** Ascending by time. */
  readonly hits: readonly SearchHit[];
  readonly query: string;
  /** When the search ran, ms since 1970. */
  readonly searchedAt: number;
  readonly onSearchAgain: () => void;
  /** Start times of the commands, ascending, in ms. */
  readonly stops: readonly number[];
  /** Drawn over the screen if the server requires it. */
  readonly watermark: Mark | undefined;
}

export function Player({
  replay,
  index,
  timeline,
  markers,
  hits,
  query,
  searchedAt,
  onSearchAgain,
  stops,
  watermark,
}: PlayerProps): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const state = useReplayState(replay);
  /** The length of the session's complete blocks when it was searched. */
  const [searched, setSearched] = useState(index.duration);
  useEffect(() => setSearched(replay.state.cut), [replay, searchedAt]);
  const drawn = useMemo(
    () => [...markers, ...hits.map((hit) => ({ at: hit.time, label: hit.text, kind: 'hit' as const }))],
    [markers, hits],
  );
  const onFullscreen = useCallback(() => toggleFullscreen(box.current), []);
  const onHit = useCallback(
    (step: 1 | -1) => {
      const here = replay.position;
      const next = step === 1 ? hits.find(({ time }) => time > here + 1) : hits.findLast(({ time }) => time < here - 1);
      if (next !== undefined) void replay.seek(next.time);
      // Content that arrived since the search is beyond the last hit.
      else if (step === 1 && query !== '' && replay.state.cut - searched >= UNSEARCHED_MS) onSearchAgain();
    },
    [replay, hits, query, searched, onSearchAgain],
  );
  const onStop = useCallback(
    (step: 1 | -1) => {
      const here = replay.position;
      const next = step === 1 ? stops.find((at) => at > here + 1) : stops.findLast((at) => at < here - 1);
      if (next !== undefined) void replay.seek(next);
    },
    [replay, stops],
  );
  const help = useRef<HTMLDialogElement>(null);
  const onHelp = useCallback(() => help.current?.showModal(), []);
  const actions = useMemo(() => ({ onFullscreen, onHit, onStop, onHelp }), [onFullscreen, onHit, onStop, onHelp]);
  useReplayKeys(replay, actions);
  return (
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
        <Timeline replay={replay} timeline={timeline} markers={drawn} />
        <Controls replay={replay} onFullscreen={onFullscreen} onHelp={onHelp} />
        {query !== '' && <Hits replay={replay} hits={hits} query={query} searched={searched} onHit={onHit} onAgain={onSearchAgain} />}
      </div>
      <KeyHelp dialog={help} />
      <Watermark mark={watermark} />
    </div>
  );
}

function Hits({
  replay,
  hits,
  query,
  searched,
  onHit,
  onAgain,
}: {
  readonly replay: Replay;
  readonly hits: readonly SearchHit[];
  readonly query: string;
  readonly searched: number;
  readonly onHit: (step: 1 | -1) => void;
  readonly onAgain: () => void;
}): ReactNode {
  const { cut } = useReplayState(replay);
  const position = usePosition(replay);
  const current = hits.findLastIndex(({ time }) => time <= position + 1);
  return (
    <div className="hits-bar">
      <span>
        {hits.length === 0 ? 'Not seen in this session: ' : `${current < 0 ? '–' : current + 1} of ${hits.length} for `}
        <q>
          <SafeText text={query.slice(0, 80)} />
        </q>
        {current >= 0 && <span className="hit-at"> at {clock(hits[current]!.time)}</span>}
      </span>
      {cut - searched >= UNSEARCHED_MS && (
        <button type="button" className="quiet search-again" onClick={onAgain}>
          Search what came since {clock(searched)}
        </button>
      )}
      <button type="button" className="quiet" onClick={() => onHit(-1)} title="P" disabled={hits.length === 0}>
        Previous
      </button>
      <button type="button" className="quiet" onClick={() => onHit(1)} title="N" disabled={hits.length === 0}>
        Next
      </button>
    </div>
  );
}
