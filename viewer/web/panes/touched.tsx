/** Files, connections and notable events, in order of time. Each row seeks to its moment. */
import { useMemo } from 'react';
import type { ReactNode } from 'react';
import type { SessionFact } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { gapText } from '#schemas/kernel/kernel-gap.js';
import { bytes, clock } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { actText, foldRepeats, isNotable, latestRow } from './process-rows.js';
import { VirtualList } from './virtual-list.js';

export interface Touched {
  readonly key: string;
  /** Session time in ms of the first and the last occurrence. */
  readonly start: number;
  readonly last: number;
  readonly times: number;
  readonly what: string;
  readonly where: string;
  /** The error, or ''. */
  readonly fault: string;
  readonly tone: 'plain' | 'alert';
}

const networkKinds: ReadonlySet<string> = new Set(['connect', 'accept', 'listen', 'send', 'dns']);
const powerKinds: ReadonlySet<string> = new Set(['privilege', 'system', 'escape']);
const faultOf = (outcome: string): string => (outcome === '' || outcome === 'success' ? '' : outcome);

function whereOf({ kind, name, path, address, port, reason, data, size }: KernelEventInfo): string {
  if (kind === 'dns') return name;
  if (kind === 'privilege') return `uid ${String(data['uid'])}, effective ${String(data['euid'])}`;
  if (address !== '')
    return `${address.includes(':') ? `[${address}]` : address}:${port ?? 0}${kind === 'send' && size !== null ? `, ${bytes(size)}` : ''}`;
  return path === '' && (kind === 'system' || kind === 'file') ? reason : path;
}

function touchedOf(events: readonly KernelEventInfo[], what: (event: KernelEventInfo) => string, everything: boolean): readonly Touched[] {
  const folded = everything
    ? events.map((event) => ({ event, times: Math.max(1, event.count ?? 1), last: event.offset }))
    : foldRepeats(events);
  return folded.map(({ event, times, last }) => ({
    ...{ key: event.place, start: event.offset, last, times },
    ...{ what: what(event), where: whereOf(event), fault: faultOf(event.outcome), tone: isNotable(event) ? 'alert' : 'plain' },
  }));
}

const text = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '');
const valuesOf = ({ data }: SessionFact): Readonly<Record<string, unknown>> =>
  typeof data === 'object' && data !== null ? (data as Readonly<Record<string, unknown>>) : {};
const byTime = (a: Touched, b: Touched): number => a.start - b.start;

/** Combines kernel events with the gateway's facts about transfers. `everything`: show repetitions as separate rows. */
export function filesOf(acts: readonly KernelEventInfo[], facts: readonly SessionFact[], everything: boolean): readonly Touched[] {
  const files = acts.filter(({ kind, name }) => kind === 'file' && (everything || name !== 'digest'));
  const transfers = facts.flatMap((fact, i): Touched[] => {
    if (fact.kind !== 'file' && fact.kind !== 'sftp') return [];
    const v = valuesOf(fact);
    const target = text(v['target']);
    return [
      {
        ...{ key: `fact ${i}`, start: fact.offset, last: fact.offset, times: 1, tone: 'plain', fault: faultOf(text(v['outcome'])) },
        what: `${text(v['protocol'])} ${text(v['operation']) === '' ? text(v['name']) : text(v['operation'])}`.trim(),
        where: target === '' ? text(v['path']) : `${text(v['path'])} → ${target}`,
      },
    ];
  });
  return [...touchedOf(files, (event) => (isNotable(event) ? actText(event) : event.name), everything), ...transfers].sort(byTime);
}

export function networkOf(acts: readonly KernelEventInfo[], facts: readonly SessionFact[], everything: boolean): readonly Touched[] {
  const network = acts.filter(({ kind }) => networkKinds.has(kind));
  const forwards = facts.flatMap((fact, i): Touched[] => {
    const v = valuesOf(fact);
    if (!(fact.kind === 'forward' && v['outcome'] !== 'closed') && fact.kind !== 'listen') return [];
    const port = text(v['port']);
    return [
      {
        ...{ key: `fact ${i}`, start: fact.offset, last: fact.offset, times: 1, tone: 'plain', fault: '' },
        what: `${fact.kind} ${text(v['name'])}`.trim(),
        where: `${text(v['address'])}${port === '' ? '' : `:${port}`}`,
      },
    ];
  });
  const what = ({ kind, name, reason }: KernelEventInfo): string => `${kind} ${kind === 'dns' ? reason : name}`.trim();
  return [...touchedOf(network, what, everything), ...forwards].sort(byTime);
}

/** Escapes from the session, files that matter, privileges and the system, and gaps. */
export function notableOf(
  acts: readonly KernelEventInfo[],
  other: readonly KernelEventInfo[],
  gaps: readonly KernelEventInfo[],
): readonly Touched[] {
  const alerts = acts.filter((event) => isNotable(event) || powerKinds.has(event.kind));
  const what = (event: KernelEventInfo): string => (isNotable(event) ? actText(event) : `${event.kind} ${event.name}`);
  const missing = [...gaps, ...other.filter(({ kind }) => kind === 'gap')].map((gap): Touched => {
    const until = gap.data['last_ms'];
    return {
      ...{ key: `gap ${gap.place}`, start: gap.offset, last: gap.offset, times: 1, fault: '', tone: 'alert' },
      what: gapText(gap.name, gap.count, gap.data['signed'] === true && until === undefined),
      where: typeof until === 'number' ? `until ${clock(until)}` : '',
    };
  });
  return [...touchedOf(alerts, what, false), ...missing].sort(byTime);
}

export function TouchedList({
  label,
  rows,
  position,
  soFar,
  empty,
  onSeek,
  onEnd,
}: {
  readonly label: string;
  readonly rows: readonly Touched[];
  readonly position: number;
  readonly soFar: boolean;
  readonly empty: string;
  readonly onSeek: (ms: number) => void;
  readonly onEnd: () => void;
}): ReactNode {
  const shown = useMemo(() => (soFar ? rows.filter(({ start }) => start <= position) : rows), [rows, soFar, position]);
  if (shown.length === 0) return <p className="pane-empty">{rows.length === 0 ? empty : 'None up to this moment.'}</p>;
  return (
    <VirtualList
      label={label}
      count={shown.length}
      rowHeight={42}
      follow={latestRow(shown, position)}
      keyOf={(i) => shown[i]!.key}
      onEnd={onEnd}
      row={(i, tabIndex) => {
        const { start, last, times, what, where, fault, tone } = shown[i]!;
        return (
          <button
            type="button"
            className={`pane-row touched tone-${tone} phase-${start > position ? 'before' : 'done'}`}
            tabIndex={tabIndex}
            onClick={() => onSeek(start)}
          >
            <span className="pane-time">{clock(start)}</span>
            <span className="pane-what">
              <span className="touched-what">
                <SafeText text={what} />
                {times > 1 && (
                  <span className="touched-times" title={`until ${clock(last)}`}>
                    {' '}
                    {times.toLocaleString()} times
                  </span>
                )}
                {fault !== '' && (
                  <span className="touched-fault">
                    {' '}
                    <SafeText text={fault} />
                  </span>
                )}
              </span>
              <span className="touched-where mono">
                <SafeText text={where} />
              </span>
            </span>
          </button>
        );
      }}
    />
  );
}
