/** Search over all recordings: one query, hits by session, facets, and hits over time. */
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import { navigate } from 'wouter/use-browser-location';
import type { Me } from '#schemas/api/front/sign-in.js';
import { needlesOf } from '#schemas/search/needles.js';
import { parseSearch } from '#schemas/search/parse.js';
import { AddToCase } from '../cases/add-to-case.js';
import { Empty, Failure, useTitle } from '../parts/basics.js';
import { queryText } from '../parts/query-text.js';
import { useAnswer } from '../parts/use-json.js';
import { Facets } from './facets.js';
import { Histogram } from './histogram.js';
import { within } from './narrow.js';
import { QueryBox } from './query-box.js';
import { Results } from './results.js';
import { Spans } from './spans.js';
import { SaveQuery, SavedSearches } from './saved-searches.js';
import './search.css';

const examples = [
  ['shadow', 'the word, wherever it is'],
  ['path:/etc/shadow -user:root', 'a file, opened by anybody else'],
  ['kind:connect dst:10.0.0.0/8 port:(22 or 3389)', 'connections'],
  ['"permission denied" label:env=prod after:7d', 'a phrase on nodes of one kind'],
  ['exe:curl has:finding', 'a program, in sessions with findings'],
  ['/passw(or)?d/ kind:screen', 'an expression, on screens alone'],
  ['kind:command node:web-* during:yesterday', 'sessions that ran at some time of a day'],
] as const;

export function SearchPage({ me }: { readonly me: Me }): ReactNode {
  const [params] = useSearchParams();
  const query = params.get('q') ?? '';
  const before = params.get('before');
  const each = params.get('each') === '20' ? 20 : undefined;
  useTitle(query === '' ? 'Search' : `${query.slice(0, 40)} · Search`);
  const needles = marked(query);
  const asked = query.trim() !== '' && needles !== null;
  const inTime = params.get('view') === 'sessions';
  const found = useAnswer('GET /api/find', asked && !inTime ? { query: { q: query, before, each } } : null);
  const overview = useAnswer('GET /api/find/overview', asked ? { query: { q: query } } : null);
  const view = inTime ? 'sessions' : null;
  const search = (q: string): void => navigate(`/search${queryText({ q, view })}`);
  const groups = asked ? (found.data?.groups ?? []) : [];
  return (
    <section className="page search-page">
      <h1 className="sr">Search</h1>
      <QueryBox query={query} onSearch={search} />
      {found.error !== null && <Failure error={found.error} />}
      {query.trim() === '' && <SavedSearches me={me} />}
      {query.trim() === '' && (
        <div className="examples">
          <h2>Ask for anything that was recorded</h2>
          <ul>
            {examples.map(([q, what]) => (
              <li key={q}>
                <Link to={`/search${queryText({ q })}`}>
                  <code>{q}</code>
                </Link>
                <span>{what}</span>
              </li>
            ))}
          </ul>
          <p className="hint">
            Screens are searched as they were rendered: corrected typing, full-screen programs and pagers included. Programs, files and
            connections come from the kernel of nodes that run Steno’s agent.
          </p>
        </div>
      )}
      {asked && found.data !== null && groups.length === 0 && !found.loading && (
        <Empty title="No matches">
          <p>A word matches as a whole; add * for words that begin so, or leave a field out.</p>
          <SaveQuery me={me} language="search" query={query} />
        </Empty>
      )}
      {asked && (inTime || groups.length > 0) && (
        <div className="search-layout" aria-busy={found.loading}>
          <aside>{overview.data !== null && <Facets facets={overview.data.facets} query={query} />}</aside>
          <div>
            {overview.data !== null && overview.data.histogram.length > 0 && (
              <Histogram overview={overview.data} onSpan={(from, to) => search(within(query, from, to))} />
            )}
            <div className="search-acts">
              <Views query={query} inTime={inTime} />
              <AddToCase me={me} label="Add this search to a case" items={() => [{ kind: 'search', query }]} />
              <SaveQuery me={me} language="search" query={query} />
            </div>
            {inTime ? <Spans query={query} before={before} /> : <Results groups={groups} query={query} needles={needles} />}
            {!inTime && found.data?.next !== undefined && found.data.next !== null && (
              <div className="pager">
                <Link to={`/search${queryText({ q: query, before: found.data.next })}`}>Older sessions</Link>
              </div>
            )}
          </div>
        </div>
      )}
    </section>
  );
}

/** The hits by session, or the sessions on one time axis. */
function Views({ query, inTime }: { readonly query: string; readonly inTime: boolean }): ReactNode {
  const view = (name: string, to: string, current: boolean): ReactNode => (
    <Link to={to} aria-current={current ? 'true' : undefined}>
      {name}
    </Link>
  );
  return (
    <nav className="search-views" aria-label="How to show what was found">
      {view('Hits', `/search${queryText({ q: query })}`, !inTime)}
      {view('Sessions in time', `/search${queryText({ q: query, view: 'sessions' })}`, inTime)}
    </nav>
  );
}

/** Null for an invalid query: the query box reports the error. */
function marked(query: string): readonly string[] | null {
  try {
    return query.trim() === '' ? [] : needlesOf(parseSearch(query, Date.now()));
  } catch {
    return null;
  }
}
