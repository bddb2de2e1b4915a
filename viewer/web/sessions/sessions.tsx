/** The list of sessions by day, newest first. Filters and page are in the address; the list refreshes itself. */
import { Fragment, useState } from 'react';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import { navigate } from 'wouter/use-browser-location';
import { isSessionId } from '#schemas/recording/line.js';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { SessionInfo, SessionList } from '#schemas/api/recordings/sessions.js';
import type { IndexProgress } from '#schemas/api/recordings/status.js';
import { cutText } from '#schemas/recording/line.js';
import { bytes, dayOf, duration, isoTime, moment, timeOfDay } from '../parts/format.js';
import { Copy, Empty, Exit, Failure, LivePeople, StateBadge, useTitle } from '../parts/basics.js';
import { ChoiceFilter, MomentFilter, TextFilter, useFilters } from '../parts/filters.js';
import { SafeText } from '../parts/safe-text.js';
import { queryText } from '../parts/query-text.js';
import { visible } from '../parts/text.js';
import { useAnswer } from '../parts/use-json.js';

const names = ['user', 'node', 'login', 'kind', 'state', 'from', 'to'] as const;
const kinds = [
  ['', 'any'],
  ['shell', 'shell'],
  ['exec', 'command'],
  ['sftp', 'sftp'],
  ['subsystem', 'subsystem'],
  ['forward', 'forwarding'],
] as const;
const states = [
  ['', 'any'],
  ['live', 'live'],
  ['ended', 'ended'],
  ['sealed', 'sealed'],
  ['interrupted', 'interrupted'],
] as const;
const REFRESH_MS = 3_000;

export function SessionsPage({ me }: { readonly me: Me }): ReactNode {
  useTitle('Sessions');
  const [query, setQuery] = useSearchParams();
  const chosen = useChoice(query.get('compare'));
  const choose = (wanted: boolean): void =>
    setQuery(
      (before) => {
        const after = new URLSearchParams(before);
        if (wanted) after.set('compare', 'choose');
        else after.delete('compare');
        return after;
      },
      { replace: true },
    );
  const filters = useFilters(names);
  const values = Object.fromEntries(names.map((name) => [name, query.get(name)]));
  const before = query.get('before');
  const { data, error } = useAnswer(
    'GET /api/sessions',
    { query: { ...values, before, limit: 50 } },
    before === null ? REFRESH_MS : undefined,
  );
  const filtered = names.some((name) => filters.get(name) !== '');
  const live = data?.sessions.filter(({ state }) => state === 'live').length ?? 0;
  return (
    <section className="page">
      <div className="page-head">
        <h1>Sessions</h1>
        {live > 0 && <span className="count count-live">{live} live</span>}
        {data !== null && data.sessions.length > 1 && (
          <button type="button" className="quiet compare-choose" aria-pressed={chosen !== null} onClick={() => choose(chosen === null)}>
            {chosen === null ? 'Compare two' : 'Do not compare'}
          </button>
        )}
        {chosen !== null && (
          <span className="note" role="status">
            {chosen.first === null ? 'Choose two sessions.' : 'Choose the other session.'}
          </span>
        )}
        {me.view === 'own' && <span className="note">You see your own sessions.</span>}
        {me.view === 'some' && <span className="note">You see the sessions that your roles show you.</span>}
      </div>
      <details className="filters" open={filtered || matchMedia('(min-width: 900px)').matches}>
        <summary>Filters{filtered ? ' (in use)' : ''}</summary>
        <div className="filter-row">
          {(me.view === 'all' || me.view === 'some') && <TextFilter label="User" name="user" filters={filters} />}
          <TextFilter label="Node" name="node" filters={filters} />
          <TextFilter label="Login" name="login" filters={filters} />
          <ChoiceFilter label="Kind" name="kind" filters={filters} choices={kinds} />
          <ChoiceFilter label="State" name="state" filters={filters} choices={states} />
          <MomentFilter label="From" name="from" filters={filters} />
          <MomentFilter label="To" name="to" filters={filters} />
          {filtered && (
            <button type="button" className="quiet clear" onClick={() => filters.set(Object.fromEntries(names.map((name) => [name, ''])))}>
              Clear
            </button>
          )}
        </div>
      </details>
      {error !== null && <Failure error={error} />}
      {data?.incomplete !== undefined && <Rebuilding {...data.incomplete} />}
      {data !== null && <List data={data} filtered={filtered} chosen={chosen} />}
      {data !== null && (
        <div className="pager">
          {before !== null && (
            <Link to={`/sessions${queryText({ ...values, compare: chosen === null ? null : (chosen.first ?? 'choose') })}`}>Newest</Link>
          )}
          {data.next !== null && (
            <Link
              to={`/sessions${queryText({ ...values, before: data.next, compare: chosen === null ? null : (chosen.first ?? 'choose') })}`}
            >
              Older
            </Link>
          )}
        </div>
      )}
    </section>
  );
}

interface Choice {
  /** The session that was chosen first. */
  readonly first: string | null;
  readonly toggle: (id: string) => void;
}

/**
 * `wanted`: `compare` in the address: the id of a session already chosen, or any other word. Null while nothing is chosen from the
 * list.
 */
function useChoice(wanted: string | null): Choice | null {
  const [first, setFirst] = useState<string | null>(wanted !== null && isSessionId(wanted) ? wanted : null);
  if (wanted === null) return null;
  return {
    first,
    toggle(id) {
      if (first === null) setFirst(id);
      else if (first === id) setFirst(null);
      else navigate(`/compare${queryText({ a: first, b: id })}`);
    },
  };
}

function Rebuilding({ done, total, failed }: IndexProgress): ReactNode {
  return (
    <p className="note" role="status">
      The search index is being rebuilt{total === 0 ? '' : `: ${done} of ${total} recordings are back`}. The others are safe but not listed
      yet{failed ? '; the rebuild stopped, and goes on when Steno is restarted' : ''}.
    </p>
  );
}

function List({
  data,
  filtered,
  chosen,
}: {
  readonly data: SessionList;
  readonly filtered: boolean;
  readonly chosen: Choice | null;
}): ReactNode {
  if (data.sessions.length === 0) {
    return (
      <Empty title={filtered ? 'No session matches' : 'No sessions yet'}>
        {filtered ? (
          <p>Loosen a filter.</p>
        ) : (
          <>
            <p>
              Connect through the gateway, or open a terminal on one of your <Link to="/nodes">nodes</Link>: the session appears here while
              it runs.
            </p>
            <Copy text="steno ssh NODE" label="Copy the command" />
          </>
        )}
      </Empty>
    );
  }
  const now = Date.now();
  let last = '';
  return (
    <div className="list" role="table" aria-label="Sessions">
      <div className="list-head" role="row">
        {['Started', 'Who, where', 'What', 'State', 'Length', 'Size', 'Exit'].map((title) => (
          <span key={title} role="columnheader">
            {title}
          </span>
        ))}
      </div>
      {data.sessions.map((session) => {
        const day = dayOf(session.started_at, now);
        const heading =
          day === last ? null : (
            <div className="day" role="row">
              <span role="cell">{day}</span>
            </div>
          );
        last = day;
        return (
          <Fragment key={session.id}>
            {heading}
            <Row session={session} chosen={chosen} />
          </Fragment>
        );
      })}
    </div>
  );
}

const kindText = { shell: 'shell', exec: 'command', sftp: 'sftp', subsystem: 'subsystem', forward: 'forwarding' } as const;

function Row({ session, chosen }: { readonly session: SessionInfo; readonly chosen: Choice | null }): ReactNode {
  if (chosen === null)
    return (
      <Link to={`/sessions/${session.id}`} className="row" role="row">
        <Cells session={session} chosen={null} />
      </Link>
    );
  return (
    <div className="row row-choose" role="row" onClick={() => chosen.toggle(session.id)}>
      <Cells session={session} chosen={chosen} />
    </div>
  );
}

function Cells({ session, chosen }: { readonly session: SessionInfo; readonly chosen: Choice | null }): ReactNode {
  return (
    <>
      <time role="cell" className="cell-time" dateTime={isoTime(session.started_at)} title={moment(session.started_at)}>
        {timeOfDay(session.started_at)}
      </time>
      <span role="cell" className="cell-who">
        {chosen !== null && (
          <input
            type="checkbox"
            checked={chosen.first === session.id}
            onChange={() => chosen.toggle(session.id)}
            onClick={(event) => event.stopPropagation()}
            aria-label={`Compare the session of ${visible(session.user)} of ${moment(session.started_at)}`}
          />
        )}
        <strong>
          <SafeText text={session.user} />
        </strong>
        <span className="arrow" aria-label="as">
          →
        </span>
        <span className="mono">
          <SafeText text={`${session.login}@${session.node}`} />
        </span>
      </span>
      <span role="cell" className="cell-what">
        <span className="kind">{kindText[session.kind]}</span>
        {session.command !== '' && (
          <code>
            <SafeText text={cutText(session.command, 300)} />
          </code>
        )}
        <LivePeople session={session} />
      </span>
      <span role="cell" className="cell-state">
        <StateBadge state={session.state} />
      </span>
      <span role="cell" className="cell-length">
        {duration(session.duration)}
      </span>
      <span role="cell" className="cell-size">
        {bytes(session.recording_bytes)}
      </span>
      <span role="cell" className="cell-exit">
        <Exit session={session} />
      </span>
    </>
  );
}
