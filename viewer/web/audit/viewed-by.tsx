/** On the page of a session, for users who may read the audit log: everybody who opened, followed or exported it, newest first. */
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { AuditRow } from '#schemas/events/rows.js';
import { isoTime, moment } from '../parts/format.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';

const SHOWN = 6;

interface Looked {
  readonly viewer: string;
  readonly times: number;
  readonly last: number;
  readonly exported: boolean;
  readonly refused: boolean;
}

export function ViewedBy({ session }: { readonly session: string }): ReactNode {
  const { data } = useAnswer('GET /api/audit', { query: { event: 'recording.', session, limit: 200 } });
  if (data === null) return null;
  const people = lookedOf(data.rows);
  const all = `/audit${queryText({ event: 'recording.', session })}`;
  return (
    <section className="viewed-by" aria-label="Viewed by">
      <h2>Viewed by</h2>
      {people.length === 0 ? (
        <p className="hint">Nobody so far.</p>
      ) : (
        <ul>
          {people.slice(0, SHOWN).map(({ viewer, times, last, exported, refused }) => (
            <li key={viewer}>
              <span>
                <SafeText text={viewer} />
                {times > 1 && <span className="hint"> ×{times}</span>}
                {exported && <span className="badge">exported</span>}
                {refused && <span className="badge badge-interrupted">refused</span>}
              </span>
              <time dateTime={isoTime(last)}>{moment(last)}</time>
            </li>
          ))}
        </ul>
      )}
      {data.rows.length > 0 && (
        <Link to={all}>
          {people.length > SHOWN || data.next !== null
            ? `All who looked, ${people.length}${data.next === null ? '' : ' and more'}`
            : 'Each time'}
        </Link>
      )}
    </section>
  );
}

/** `refused`: the user was never let in. Rows come newest first. */
function lookedOf(rows: readonly AuditRow[]): readonly Looked[] {
  const people = new Map<string, Looked>();
  for (const { actor, at, event, outcome } of rows) {
    if (!/^recording\.(view|follow|export)$/.test(event)) continue;
    const before = people.get(actor) ?? { viewer: actor, times: 0, last: at, exported: false, refused: true };
    const done = outcome === 'success';
    people.set(actor, {
      ...before,
      times: before.times + 1,
      exported: before.exported || (done && event === 'recording.export'),
      refused: before.refused && !done,
    });
  }
  return [...people.values()];
}
