/** The timeline: where the replay stands, and what lies where. A slider for pointer and keys; markers are buttons of their own. */
import { useEffect, useRef, useState } from 'react';
import type { KeyboardEvent, PointerEvent, ReactNode } from 'react';
import { clock } from '../parts/format.js';
import { visible } from '../parts/text.js';
import type { Replay } from './replay.js';
import { usePosition, useReplayState } from './use-replay.js';

/** A pointer that rests this long is likely to press: what it points at is fetched by then. */
const REST_MS = 60;

export interface TimelineMarker {
  readonly at: number;
  readonly label: string;
  readonly kind: 'gap' | 'file' | 'participant' | 'marker' | 'hit';
}

const kindText = { gap: 'Not recorded', file: 'File', participant: 'Participant', marker: 'Marker', hit: 'Found' } as const;

export function Timeline({ replay, markers }: { readonly replay: Replay; readonly markers: readonly TimelineMarker[] }): ReactNode {
  const { duration } = useReplayState(replay);
  const position = usePosition(replay);
  const track = useRef<HTMLDivElement>(null);
  const [hover, setHover] = useState<number | null>(null);
  const dragging = useRef(false);
  const resting = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(resting.current), []);

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
    void replay.seek(target);
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
        aria-valuetext={`${clock(position)} of ${clock(duration)}`}
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
        <div className="rail" />
        <div className="played" style={{ width: share(position) }} />
        {hover !== null && (
          <div className="hover" style={{ left: share(hover) }}>
            <span>{clock(hover)}</span>
          </div>
        )}
        <div className="knob" style={{ left: share(position) }} />
      </div>
      <div className="markers">
        {markers.slice(0, 500).map((marker, i) => (
          <button
            key={`${marker.kind} ${marker.at} ${i}`}
            type="button"
            className={`marker marker-${marker.kind}`}
            style={{ left: share(marker.at) }}
            tabIndex={-1}
            title={`${clock(marker.at)} ${kindText[marker.kind]}: ${visible(marker.label).slice(0, 120)}`}
            onClick={() => void replay.seek(marker.at)}
          >
            <span className="sr">{`${kindText[marker.kind]} at ${clock(marker.at)}`}</span>
          </button>
        ))}
      </div>
    </div>
  );
}
