/**
 * The sessions of a search as bars on one time axis, which shows who was where at the same moment. The axis is the span of the query,
 * otherwise the span of the sessions; a bar that extends beyond the axis is drawn open at that end. The geometry is tested in
 * span-rows.test.ts.
 */
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import { parseSearch } from '#schemas/search/parse.js';
import { Empty, Failure } from '../parts/basics.js';
import { duration, isoTime, moment, numbered } from '../parts/format.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import { spanOfSearch } from './narrow.js';
import { axisOf, barsOf, crowdOf, tickName, ticksOf } from './span-rows.js';
import type { Bar } from './span-rows.js';

export function Spans({ query, before }: { readonly query: string; readonly before: string | null }): ReactNode {
  const { data, error, loading } = useAnswer('GET /api/find/sessions', { query: { q: query, before } });
  if (error !== null) return <Failure error={error} />;
  if (data === null) return null;
  if (data.sessions.length === 0)
    return loading ? null : (
      <Empty title="No session">
        <p>What this search finds belongs to no session, or nothing was found.</p>
      </Empty>
    );
  const now = Date.now();
  const axis = axisOf(spanOfSearch(parseSearch(query, now)), data.sessions, now);
  const bars = barsOf(data.sessions, axis);
  const crowd = crowdOf(bars);
  return (
    <figure className="spans">
      <figcaption>
        <strong>{numbered(bars.length, 'session')}</strong>
        <span>
          {moment(axis.from)} to {moment(axis.to)}
        </span>
        <span>{crowd > 1 ? `up to ${crowd} at the same time` : 'one at a time'}</span>
      </figcaption>
      <div className="span-axis" aria-hidden="true">
        <div>
          {ticksOf(axis).map((tick) => (
            <time key={tick.at} className={tick.share > 0.9 ? 'end' : undefined} style={{ left: `${tick.share * 100}%` }}>
              {tickName(tick.at, axis)}
            </time>
          ))}
        </div>
      </div>
      <ol>
        {bars.map((bar) => (
          <li key={bar.session.id}>
            <SpanRow bar={bar} ticks={ticksOf(axis).map(({ share }) => share)} />
          </li>
        ))}
      </ol>
      {data.next !== null && (
        <div className="pager">
          <Link to={`/search${queryText({ q: query, view: 'sessions', before: data.next })}`}>Older sessions</Link>
        </div>
      )}
    </figure>
  );
}

/** Opens the replay where the bar begins. */
function SpanRow({ bar, ticks }: { readonly bar: Bar; readonly ticks: readonly number[] }): ReactNode {
  const { session, left, width, cutLeft, cutRight, count } = bar;
  const open = Math.max(0, bar.from - session.started_at);
  const until = session.ended_at === null ? 'still running' : `to ${moment(session.ended_at)}`;
  const what = `${moment(session.started_at)} ${until}, ${duration(session.duration)}, ${numbered(count, 'hit')}`;
  const ends = `${cutLeft ? ' cut-left' : ''}${cutRight ? ' cut-right' : ''}${session.state === 'live' ? ' live' : ''}`;
  return (
    <Link to={`/sessions/${encodeURIComponent(session.id)}${queryText({ t: open === 0 ? null : String(open) })}`} title={what}>
      <span className="span-who">
        <strong>
          <SafeText text={session.user} />
        </strong>
        <span className="mono">
          <SafeText text={`${session.login}@${session.node}`} />
        </span>
      </span>
      <span className="span-track">
        {ticks.map((share) => (
          <i key={share} style={{ left: `${share * 100}%` }} />
        ))}
        <span className={`span-bar${ends}`} style={{ left: `${left * 100}%`, width: `${width * 100}%` }} />
      </span>
      <span className="span-long">
        <time dateTime={isoTime(session.started_at)} className="sr">
          {what}
        </time>
        <span aria-hidden="true">{duration(session.duration)}</span>
      </span>
    </Link>
  );
}
