/** The lanes below the slider: when the session printed, ran programs, touched files and used the network; findings and gaps. */
import { memo } from 'react';
import type { PointerEvent, ReactNode } from 'react';
import type { SessionTimeline, TimelineLane, TimelinePart } from '#schemas/api/recordings/replay.js';
import { clock } from '../parts/format.js';
import { visible } from '../parts/text.js';

export interface TimelineMarker {
  readonly at: number;
  readonly label: string;
  readonly kind: 'gap' | 'file' | 'participant' | 'marker' | 'note' | 'hit' | 'finding';
}

export const kindText = {
  gap: 'Not recorded',
  file: 'File',
  participant: 'Participant',
  marker: 'Marker',
  note: 'Note',
  hit: 'Found',
  finding: 'Finding',
} as const;

interface Lane {
  readonly title: string;
  readonly name: string;
  /** The unit in which a stretch is counted. */
  readonly unit: readonly [one: string, many: string];
  readonly counted: TimelineLane | null;
  readonly markers: readonly TimelineMarker['kind'][];
}

const lanes: readonly Lane[] = [
  { title: 'Programs', name: 'program', unit: ['program', 'programs'], counted: 'program', markers: [] },
  { title: 'Files', name: 'file', unit: ['file event', 'file events'], counted: 'file', markers: ['file'] },
  { title: 'Network', name: 'network', unit: ['network event', 'network events'], counted: 'network', markers: ['marker'] },
  {
    title: 'Privileges',
    name: 'power',
    unit: ['change of privileges or system', 'changes of privileges or system'],
    counted: 'power',
    markers: [],
  },
  { title: 'Findings', name: 'finding', unit: ['finding', 'findings'], counted: null, markers: ['finding'] },
  { title: 'Notes', name: 'note', unit: ['note', 'notes'], counted: null, markers: ['note'] },
  { title: 'People', name: 'participant', unit: ['participant', 'participants'], counted: null, markers: ['participant'] },
  { title: 'Found', name: 'hit', unit: ['hit', 'hits'], counted: null, markers: ['hit'] },
  { title: 'Gaps', name: 'gap', unit: ['gap', 'gaps'], counted: 'gap', markers: ['gap'] },
];

const MOST_MARKERS = 500;
/** Share of the width: a press this close to a mark selects the mark. */
const NEAR = 1 / 120;
const WIDTH = 1_000;

export interface LanesProps {
  readonly duration: number;
  readonly timeline: SessionTimeline | null;
  readonly markers: readonly TimelineMarker[];
  readonly onSeek: (ms: number) => void;
}

/** Drawn once per set of data: the clock moves the line above the lanes, not the lanes. */
export const Lanes = memo(function Lanes({ duration, timeline, markers, onSeek }: LanesProps): ReactNode {
  return lanes.map((lane) => {
    const parts = timeline?.lanes.find(({ lane: of }) => of === lane.counted)?.parts ?? [];
    const mine = markers.filter(({ kind }) => lane.markers.includes(kind));
    if (parts.length + mine.length === 0) return null;
    const total = parts.reduce((sum, { amount }) => sum + amount, 0) + (parts.length === 0 ? mine.length : 0);
    const onPointerDown = (event: PointerEvent<HTMLDivElement>): void => {
      const { left, width } = event.currentTarget.getBoundingClientRect();
      const at = ((event.clientX - left) / width) * duration;
      const near = parts.reduce<TimelinePart | null>(
        (best, part) => (best === null || Math.abs(part.first - at) < Math.abs(best.first - at) ? part : best),
        null,
      );
      onSeek(near !== null && Math.abs(near.first - at) <= duration * NEAR ? near.first : at);
    };
    return (
      <div key={lane.name} className={`lane lane-${lane.name}`}>
        <span className="lane-title">{lane.title}</span>
        <div className="lane-track" onPointerDown={onPointerDown}>
          {parts.length > 0 && (
            <svg
              viewBox={`0 0 ${WIDTH} 10`}
              preserveAspectRatio="none"
              role="img"
              aria-label={`${total.toLocaleString()} ${total === 1 ? lane.unit[0] : lane.unit[1]}, from ${clock(parts[0]!.first)} to ${clock(parts.at(-1)!.first)}`}
            >
              <Ticks parts={parts} duration={duration} />
            </svg>
          )}
          {mine.slice(0, MOST_MARKERS).map((marker, i) => (
            <button
              key={`${marker.kind} ${marker.at} ${i}`}
              type="button"
              className={`marker marker-${marker.kind}`}
              style={{ left: `${duration === 0 ? 0 : Math.min(100, (marker.at / duration) * 100)}%` }}
              tabIndex={-1}
              title={`${clock(marker.at)} ${kindText[marker.kind]}: ${visible(marker.label).slice(0, 120)}`}
              onPointerDown={(event) => event.stopPropagation()}
              onClick={() => onSeek(marker.at)}
            >
              <span className="sr">{`${kindText[marker.kind]} at ${clock(marker.at)}`}</span>
            </button>
          ))}
        </div>
      </div>
    );
  });
});

/** Three strengths: one event, some, many. One path for each strength, regardless of the number of parts. */
function Ticks({ parts, duration }: { readonly parts: readonly TimelinePart[]; readonly duration: number }): ReactNode {
  const most = Math.max(...parts.map(({ amount }) => amount));
  const strengths = [0.5, 0.75, 1];
  const paths = strengths.map(() => '');
  for (const { first, amount } of parts) {
    const strength = most === 1 ? 2 : Math.min(2, Math.floor((Math.log(amount) / Math.log(most + 1)) * 3));
    paths[strength] += `M${Math.round((Math.min(first, duration) / Math.max(1, duration)) * WIDTH)} 1V9`;
  }
  return paths.map((d, i) => d !== '' && <path key={i} d={d} opacity={strengths[i]} vectorEffect="non-scaling-stroke" />);
}

/** The amount of output over time, behind the slider. */
export const Density = memo(function Density({
  timeline,
  duration,
}: {
  readonly timeline: SessionTimeline | null;
  readonly duration: number;
}): ReactNode {
  const parts = timeline?.lanes.find(({ lane }) => lane === 'output')?.parts ?? [];
  if (timeline === null || parts.length === 0 || duration === 0) return null;
  const most = Math.max(...parts.map(({ amount }) => amount));
  const x = (ms: number): number => (Math.min(ms, duration) / duration) * WIDTH;
  const width = Math.max(1.5, (timeline.width / duration) * WIDTH);
  let d = '';
  for (const { part, amount } of parts) {
    // The square root keeps a prompt visible next to a listing of a thousand lines.
    const height = Math.max(2, Math.sqrt(amount / most) * 26);
    d += `M${x(part * timeline.width).toFixed(1)} 28h${width.toFixed(1)}v${(-height).toFixed(1)}h${(-width).toFixed(1)}z`;
  }
  return (
    <svg className="density" viewBox={`0 0 ${WIDTH} 28`} preserveAspectRatio="none" aria-hidden="true">
      <path d={d} />
    </svg>
  );
});
