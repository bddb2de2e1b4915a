/** Search over what was seen on screens: hits newest first, in context, each leading to its moment in the replay. */
import { useEffect, useState } from 'react';
import type { ReactNode, SubmitEvent } from 'react';
import { Link, useSearchParams } from 'wouter';
import { navigate } from 'wouter/use-browser-location';
import type { SearchHit, SearchResult } from '#schemas/api.js';
import { clock, isoTime, moment } from '../parts/format.js';
import { Empty, Failure, useTitle } from '../parts/basics.js';
import { MomentFilter, TextFilter, useFilters } from '../parts/filters.js';
import { MarkedText, SafeText } from '../parts/safe-text.js';
import { queryText } from '../parts/query-text.js';
import { useJson } from '../parts/use-json.js';

export type Mode = 'auto' | 'words' | 'substring' | 'regex';
const names = ['q', 'mode', 'user', 'node', 'login', 'from', 'to'] as const;
const modes = [
  ['auto', 'Auto', 'Words if it is made of words, exact text otherwise'],
  ['words', 'Words', 'All of these words, in any order'],
  ['substring', 'Exact text', 'These characters, as they stand'],
  ['regex', 'Regex', 'An RE2 regular expression'],
] as const;

export function modeOf(text: string | null): Mode {
  return text === 'words' || text === 'substring' || text === 'regex' ? text : 'auto';
}

export function SearchPage(): ReactNode {
  const [query] = useSearchParams();
  const filters = useFilters(names);
  const q = query.get('q') ?? '';
  const mode = modeOf(query.get('mode'));
  const before = query.get('before');
  const [draft, setDraft] = useState(q);
  useEffect(() => setDraft(q), [q]);
  useTitle(q === '' ? 'Search' : `${q.slice(0, 40)} · Search`);
  const values = Object.fromEntries(names.map((name) => [name, query.get(name)]));
  const { data, error, loading } = useJson<SearchResult>(
    q.trim() === '' ? null : `/api/search${queryText({ ...values, mode, before, limit: 25 })}`,
  );
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    navigate(`/search${queryText({ ...values, q: draft.trim() })}`);
  };
  return (
    <section className="page">
      <h1 className="sr">Search</h1>
      <form className="search-box" role="search" onSubmit={submit}>
        <input
          type="search"
          name="q"
          value={draft}
          maxLength={1000}
          autoFocus
          autoComplete="off"
          spellCheck={false}
          placeholder="Search what was seen on screens"
          aria-label="Search what was seen on screens"
          onChange={(event) => setDraft(event.target.value)}
        />
        <button type="submit">Search</button>
      </form>
      <div className="search-options">
        <fieldset className="segmented">
          <legend className="sr">How to understand it</legend>
          {modes.map(([value, text, title]) => (
            <label key={value} title={title}>
              <input
                type="radio"
                name="mode"
                value={value}
                checked={mode === value}
                onChange={() => filters.set({ mode: value === 'auto' ? '' : value })}
              />
              <span>{text}</span>
            </label>
          ))}
        </fieldset>
        <details className="filters" open={['user', 'node', 'login', 'from', 'to'].some((name) => filters.get(name) !== '')}>
          <summary>Narrow it down</summary>
          <div className="filter-row">
            <TextFilter label="User" name="user" filters={filters} />
            <TextFilter label="Node" name="node" filters={filters} />
            <TextFilter label="Login" name="login" filters={filters} />
            <MomentFilter label="From" name="from" filters={filters} />
            <MomentFilter label="To" name="to" filters={filters} />
          </div>
        </details>
      </div>
      {error !== null && <Failure error={error} />}
      {q === '' && (
        <Empty title="What was on the screen is what you find">
          <p>Lines are found as they were rendered: corrected typing, full-screen programs and pagers included.</p>
        </Empty>
      )}
      {data !== null && data.hits.length === 0 && !loading && (
        <Empty title="Nothing like it was seen">
          <p>Try other words, or exact text for parts of words.</p>
        </Empty>
      )}
      <ol className="hits" aria-busy={loading}>
        {(data?.hits ?? []).map((hit) => (
          <Hit key={`${hit.session} ${hit.time} ${hit.row} ${hit.text}`} hit={hit} query={q} mode={mode} />
        ))}
      </ol>
      {data !== null && data.next !== null && (
        <div className="pager">
          <Link to={`/search${queryText({ ...values, before: data.next })}`}>Older hits</Link>
        </div>
      )}
    </section>
  );
}

function Hit({ hit, query, mode }: { readonly hit: SearchHit; readonly query: string; readonly mode: Mode }): ReactNode {
  const to = `/sessions/${encodeURIComponent(hit.session)}${queryText({ t: hit.time, q: query, mode: mode === 'auto' ? '' : mode })}`;
  return (
    <li>
      <Link to={to} className="hit">
        <span className="hit-head">
          <strong>
            <SafeText text={hit.user} />
          </strong>
          <span className="arrow">→</span>
          <span className="mono">
            <SafeText text={`${hit.login}@${hit.node}`} />
          </span>
          <time dateTime={isoTime(hit.at)}>{moment(hit.at)}</time>
          <span className="hit-at">at {clock(hit.time)}</span>
        </span>
        <span className="hit-lines">
          {hit.before.map((line, i) => (
            <span key={`b${i}`} className="line around">
              <SafeText text={line} />
            </span>
          ))}
          <span className="line found">
            <MarkedText text={hit.text} query={query} mode={mode} />
          </span>
          {hit.after.map((line, i) => (
            <span key={`a${i}`} className="line around">
              <SafeText text={line} />
            </span>
          ))}
        </span>
      </Link>
    </li>
  );
}
