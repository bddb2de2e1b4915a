/** The timeline: the replay's position, and what happened when. A slider for pointer and keys, and below it the lanes (lanes.tsx). */
import { useCallback, useEffect, useRef, useState } from 'react';
import type { KeyboardEvent, PointerEvent, ReactNode } from 'react';
import { clock, clockWithin } from '../parts/format.js';
import type { SessionTimeline } from '#schemas/api/recordings/replay.js';
import type { Replay } from '#schemas/player/replay.js';
import { Density, Lanes } from './lanes.js';
import type { TimelineMarker } from './lanes.js';
import { usePosition, useReplayState } from './use-replay.js';

/** A pointer that rests this long will probably press: the segment under it is prefetched. */
const REST_MS = 60;

export interface TimelineProps {
  readonly replay: Replay;
  /** Null while unknown. */
  readonly timeline: SessionTimeline | null;
  readonly markers: readonly TimelineMarker[];
}

export function Timeline({ replay, timeline, markers }: TimelineProps): ReactNode {
  const { duration, live } = useReplayState(replay);
  const position = usePosition(replay);
  const track = useRef<HTMLDivElement>(null);
  const [hover, setHover] = useState<number | null>(null);
  const dragging = useRef(false);
  const resting = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(resting.current), []);

  const onSeek = useCallback((ms: number) => void replay.seek(ms), [replay]);
  const timeAt = (event: PointerEvent): number => {
    const { left, width } = track.current!.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width)) * duration;
  };
  const share = (at: number): string => `${duration === 0 ? 0 : Math.min(100, (at / duration) * 100)}%`;
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.shiftKey ? 30_000 : 5_000;
    const targets: Readonly<Record<string, number>> = {
      ArrowLeft: position - step,
      ArrowRight: position + step,
      ArrowDown: position - step,
      ArrowUp: position + step,
      PageDown: position - duration / 10,
      PageUp: position + duration / 10,
      Home: 0,
      End: duration,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    void (event.key === 'End' && live ? replay.follow() : replay.seek(target));
  };
  return (
    <div className="timeline">
      <div
        ref={track}
        className="track"
        role="slider"
        tabIndex={0}
        aria-label="Position"
        aria-valuemin={0}
        aria-valuemax={Math.round(duration / 1000)}
        aria-valuenow={Math.round(position / 1000)}
        aria-valuetext={`${clockWithin(position, duration)} of ${clockWithin(duration, duration)}`}
        onKeyDown={onKeyDown}
        onPointerDown={(event) => {
          dragging.current = true;
          event.currentTarget.setPointerCapture(event.pointerId);
          void replay.seek(timeAt(event));
        }}
        onPointerMove={(event) => {
          const at = timeAt(event);
          setHover(at);
          clearTimeout(resting.current);
          if (dragging.current) void replay.seek(at);
          else resting.current = setTimeout(() => replay.prepare(at), REST_MS);
        }}
        onPointerUp={() => (dragging.current = false)}
        onPointerLeave={() => {
          setHover(null);
          clearTimeout(resting.current);
        }}
      >
        <Density timeline={timeline} duration={duration} />
        <div className="rail" />
        {timeline?.idle.map(({ from, to }) => (
          <div
            key={from}
            className="idle"
            style={{ left: share(from), width: share(Math.min(to, duration) - from) }}
            title={`Nothing new on the screen from ${clock(from)} to ${clock(to)}`}
          />
        ))}
        <div className="played" style={{ width: share(position) }} />
        {hover !== null && (
          <div className="hover" style={{ left: share(hover) }}>
            <span>{clockWithin(hover, duration)}</span>
          </div>
        )}
        <div className="knob" style={{ left: share(position) }} />
      </div>
      <div className="lanes">
        <Lanes duration={duration} timeline={timeline} markers={markers} onSeek={onSeek} />
        <div className="playhead-track" aria-hidden="true">
          <div className="playhead" style={{ left: share(position) }} />
        </div>
      </div>
    </div>
  );
}
