/** Kernel events of the signed log, in log order. */
import { useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { clock } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';

const PAGE = 200;
const unlisted: ReadonlySet<string> = new Set(['fork', 'exit', 'kernel']);

export function EventTable({
  events,
  more,
  onSeek,
}: {
  readonly events: readonly KernelEventInfo[];
  readonly more: number;
  readonly onSeek: (ms: number) => void;
}): ReactNode {
  const [query, setQuery] = useState('');
  const [shown, setShown] = useState(PAGE);
  const listed = useMemo(() => {
    const needle = query.trim().toLowerCase();
    return events
      .filter(({ kind }) => !unlisted.has(kind))
      .filter((event) => needle === '' || `${event.kind} ${whatOf(event)}`.toLowerCase().includes(needle));
  }, [events, query]);
  if (events.length === 0) return null;
  return (
    <section className="facts">
      <div className="transcript-head">
        <h2>
          Kernel events <span className="count">{listed.length}</span>
        </h2>
        <input
          type="search"
          value={query}
          placeholder="Program, file, address"
          aria-label="Search the kernel events"
          onChange={(event) => {
            setQuery(event.target.value);
            setShown(PAGE);
          }}
        />
      </div>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              {['At', 'Kind', 'What', 'Result'].map((head) => (
                <th key={head} scope="col">
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {listed.slice(0, shown).map((event) => {
              const failed = event.outcome !== '' && event.outcome !== 'success';
              return (
                <tr key={event.place} className={failed ? 'failed' : undefined}>
                  <td className="at">
                    <button
                      type="button"
                      className="seek"
                      onClick={() => onSeek(event.offset)}
                      aria-label={`Show the moment at ${clock(event.offset)}`}
                    >
                      {clock(event.offset)}
                    </button>
                  </td>
                  <td className="word">
                    <SafeText text={event.kind} />
                  </td>
                  <td className="mono path">
                    <SafeText text={whatOf(event)} />
                  </td>
                  <td className="word">{failed && <SafeText text={event.outcome} />}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {listed.length > shown && (
        <p>
          <button type="button" className="seek" onClick={() => setShown(shown + PAGE * 4)}>
            {listed.length - shown} more
          </button>
        </p>
      )}
      {more > 0 && <p className="hint">{more} further rows are in the event log, which can be taken out of this page.</p>}
    </section>
  );
}

function whatOf({ kind, name, path, address, port, reason }: KernelEventInfo): string {
  const where = address === '' ? path : `${address.includes(':') ? `[${address}]` : address}:${port ?? 0}`;
  if (kind === 'exec') return name === '' ? path : name;
  return [name, where, kind === 'gap' ? reason : ''].filter((text) => text !== '').join(' ');
}
