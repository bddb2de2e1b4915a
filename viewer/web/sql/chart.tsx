/** A chart of one numeric column over another column: bars for words, a line for moments. It shows the loaded rows without aggregating. */
import { useLayoutEffect, useRef, useState } from 'react';
import type { ReactNode, RefObject } from 'react';
import type { Answer } from './run.js';

const MAX_POINTS = 60;
const MAX_LINE = 2000;
const [HEIGHT, LEFT, TOP, BOTTOM] = [240, 48, 12, 26];
/** Pixels of one character of a label, about. */
const CHARACTER = 7;
/** Until the page is laid out. */
const FIRST_WIDTH = 640;

export interface Axes {
  readonly x: number;
  readonly y: number;
}

const isNumber = (type: string): boolean => /^(Nullable\()?(U?Int|Float|Decimal)/.test(type);
const isMoment = (type: string): boolean => /^(Nullable\()?Date/.test(type);

/** The first pair of columns that makes a chart; null if no column holds numbers. */
export function axesOf({ columns }: Answer): Axes | null {
  const y = columns.findIndex(({ type }) => isNumber(type));
  if (y < 0 || columns.length < 2) return null;
  const moment = columns.findIndex(({ type }) => isMoment(type));
  const x = moment >= 0 ? moment : columns.findIndex(({ type }, i) => i !== y && !isNumber(type));
  return { x: x >= 0 ? x : columns.findIndex((_, i) => i !== y), y };
}

export function Chart({
  answer,
  axes,
  onAxes,
}: {
  readonly answer: Answer;
  readonly axes: Axes;
  readonly onAxes: (axes: Axes) => void;
}): ReactNode {
  const { columns, rows } = answer;
  const [box, width] = useWidth();
  const line = isMoment(columns[axes.x]!.type);
  const all = rows.map((row) => ({ x: row[axes.x], y: Number(row[axes.y]) })).filter(({ y }) => Number.isFinite(y));
  const points = all.slice(0, line ? MAX_LINE : MAX_POINTS);
  const pick = (axis: 'x' | 'y') => (
    <label className="field">
      <span>{axis === 'x' ? 'Over' : 'Value'}</span>
      <select value={axes[axis]} onChange={(event) => onAxes({ ...axes, [axis]: Number(event.target.value) })}>
        {columns.map(({ name, type }, i) => (
          <option key={i} value={i} disabled={axis === 'y' && !isNumber(type)}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <figure className="sql-chart">
      <div className="filter-row">
        {pick('x')}
        {pick('y')}
        {points.length < all.length && (
          <p className="hint">
            The first {points.length} of {all.length.toLocaleString()} rows
          </p>
        )}
      </div>
      <div ref={box}>
        {points.length === 0 ? (
          <p className="hint">No numbers to draw.</p>
        ) : line ? (
          <Line points={points} width={width} />
        ) : (
          <Bars points={points} width={width} />
        )}
      </div>
    </figure>
  );
}

/** The width of the element in px: a drawing made for it has labels of the same size on any screen. */
function useWidth(): readonly [RefObject<HTMLDivElement | null>, number] {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(FIRST_WIDTH);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const measure = (): void => setWidth(Math.max(LEFT * 2, element.clientWidth));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  return [box, width];
}

interface Drawing {
  readonly points: readonly Point[];
  readonly width: number;
}

interface Point {
  readonly x: unknown;
  readonly y: number;
}

function scaleOf(points: readonly Point[]): { readonly low: number; readonly high: number; readonly at: (y: number) => number } {
  const low = Math.min(0, ...points.map(({ y }) => y));
  const high = Math.max(0, ...points.map(({ y }) => y)) || 1;
  return { low, high, at: (y) => TOP + (HEIGHT - BOTTOM - TOP) * (1 - (y - low) / (high - low)) };
}

function Frame({ points, width, children, label }: Drawing & { readonly children: ReactNode; readonly label: string }): ReactNode {
  const { low, high, at } = scaleOf(points);
  return (
    <svg viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={label}>
      {[low, (low + high) / 2, high].map((value) => (
        <g key={value}>
          <line className="grid" x1={LEFT} x2={width} y1={at(value)} y2={at(value)} />
          <text className="tick" x={LEFT - 8} y={at(value) + 4} textAnchor="end">
            {compact.format(value)}
          </text>
        </g>
      ))}
      {children}
    </svg>
  );
}

const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const nameOf = (value: unknown): string => (value === null ? 'NULL' : typeof value === 'object' ? JSON.stringify(value) : String(value));
const short = (text: string, length: number): string => ([...text].length > length ? `${[...text].slice(0, length - 1).join('')}…` : text);

function Bars({ points, width }: Drawing): ReactNode {
  const { at } = scaleOf(points);
  const step = (width - LEFT) / points.length;
  const room = Math.floor(step / CHARACTER);
  return (
    <Frame points={points} width={width} label={`Bars: ${points.length} values`}>
      {points.map(({ x, y }, i) => (
        <g key={i}>
          <title>{`${nameOf(x)}: ${y.toLocaleString()}`}</title>
          <rect
            className="bar"
            x={LEFT + i * step + step * 0.14}
            width={step * 0.72}
            y={Math.min(at(0), at(y))}
            height={Math.max(1.5, Math.abs(at(0) - at(y)))}
            rx={2}
          />
          {room >= 3 && (
            <text className="tick" x={LEFT + (i + 0.5) * step} y={HEIGHT - 8} textAnchor="middle">
              {short(nameOf(x), room)}
            </text>
          )}
        </g>
      ))}
    </Frame>
  );
}

function Line({ points, width }: Drawing): ReactNode {
  const { at } = scaleOf(points);
  const timed = points
    .map(({ x, y }) => ({ t: Date.parse(`${nameOf(x).replace(' ', 'T')}${nameOf(x).length > 10 ? 'Z' : ''}`), x, y }))
    .filter(({ t }) => !Number.isNaN(t))
    .sort((a, b) => a.t - b.t);
  const [first, last] = [timed[0]?.t ?? 0, timed.at(-1)?.t ?? 1];
  const along = (t: number): number => LEFT + 4 + (width - LEFT - 8) * (last === first ? 0.5 : (t - first) / (last - first));
  return (
    <Frame points={points} width={width} label={`Line: ${timed.length} values`}>
      <polyline className="line" points={timed.map(({ t, y }) => `${along(t).toFixed(1)},${at(y).toFixed(1)}`).join(' ')} />
      {timed.length <= 200 &&
        timed.map(({ t, x, y }, i) => (
          <circle key={i} className="point" cx={along(t)} cy={at(y)} r={3}>
            <title>{`${nameOf(x)}: ${y.toLocaleString()}`}</title>
          </circle>
        ))}
      {timed.length > 0 && (
        <>
          <text className="tick" x={LEFT} y={HEIGHT - 8}>
            {nameOf(timed[0]!.x).slice(0, 16)}
          </text>
          <text className="tick" x={width} y={HEIGHT - 8} textAnchor="end">
            {nameOf(timed.at(-1)!.x).slice(0, 16)}
          </text>
        </>
      )}
    </Frame>
  );
}
