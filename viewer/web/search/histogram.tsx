/** Hits over time. Dragging over bars narrows the search to them; so does one click on a bar. */
import { useRef, useState } from 'react';
import type { PointerEvent, ReactNode } from 'react';
import type { FoundOverview } from '#schemas/api/recordings/find.js';
import { moment, numbered } from '../parts/format.js';

const MAX_BARS = 160;

export function Histogram({
  overview,
  onSpan,
}: {
  readonly overview: FoundOverview;
  readonly onSpan: (from: number, to: number) => void;
}): ReactNode {
  const { histogram, step_ms: step } = overview;
  const picture = useRef<SVGSVGElement>(null);
  const [drag, setDrag] = useState<readonly [number, number] | null>(null);
  const [under, setUnder] = useState<number | null>(null);
  const first = histogram[0]?.at ?? 0;
  const last = histogram.at(-1)?.at ?? 0;
  const bars = Math.min(MAX_BARS, Math.round((last - first) / step) + 1);
  const counts = new Map(histogram.map(({ at, count }) => [Math.round((at - first) / step), count]));
  const most = Math.max(...histogram.map(({ count }) => count), 1);
  const barAt = (event: PointerEvent): number => {
    const { left, width } = picture.current!.getBoundingClientRect();
    return Math.max(0, Math.min(bars - 1, Math.floor(((event.clientX - left) / width) * bars)));
  };
  const end = (): void => {
    if (drag === null) return;
    const [from, to] = [Math.min(...drag), Math.max(...drag)];
    setDrag(null);
    onSpan(first + from * step, first + (to + 1) * step);
  };
  const chosen = drag === null ? null : ([Math.min(...drag), Math.max(...drag)] as const);
  return (
    <figure className="histogram">
      <svg
        ref={picture}
        viewBox={`0 0 ${bars} 40`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Hits over time, from ${moment(first)} to ${moment(last + step)}; at most ${most} in one bar`}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag([barAt(event), barAt(event)]);
        }}
        onPointerMove={(event) => {
          const bar = barAt(event);
          setUnder(bar);
          if (drag !== null) setDrag([drag[0], bar]);
        }}
        onPointerLeave={() => setUnder(null)}
        onPointerUp={end}
        onPointerCancel={() => setDrag(null)}
      >
        {chosen !== null && <rect className="chosen" x={chosen[0]} y={0} width={chosen[1] - chosen[0] + 1} height={40} />}
        {[...counts].map(([bar, count]) => {
          // The square root keeps a bar of one hit visible next to one of ten thousand.
          const height = Math.max(2, Math.sqrt(count / most) * 38);
          return (
            <rect key={bar} className={bar === under ? 'bar under' : 'bar'} x={bar + 0.1} y={40 - height} width={0.8} height={height} />
          );
        })}
      </svg>
      <figcaption>
        <time>{moment(first)}</time>
        <span>
          {under === null
            ? `${numbered(overview.total, 'hit')} in ${numbered(overview.sessions, 'session')}`
            : `${(counts.get(under) ?? 0).toLocaleString()} from ${moment(first + under * step)}`}
        </span>
        <time>{moment(Math.min(last + step, Math.max(last, Date.now())))}</time>
      </figcaption>
    </figure>
  );
}
