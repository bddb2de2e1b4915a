/** Saved searches and saved SQL: the list, and a form that saves the current query. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { ApiFailure } from '../parts/api.js';
import { Failure } from '../parts/basics.js';
import { ask } from '../parts/endpoints.js';
import type { Answered } from '../parts/endpoints.js';
import { duration, moment, numbered } from '../parts/format.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';

type Saved = Answered<'GET /api/saved-searches'>[number];

const periods = [5, 15, 60, 24 * 60].map((minutes) => minutes * 60_000);

type Language = Saved['language'];

export interface SavedQueries {
  /** Null until they are loaded. */
  readonly list: readonly Saved[] | null;
  /** The error of loading the list, or of the last deletion. */
  readonly error: ApiFailure | null;
  readonly remove: (saved: Saved) => void;
  readonly reload: () => void;
}

export function useSaved(language: Language): SavedQueries {
  const { data, error, reload } = useAnswer('GET /api/saved-searches', {});
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const remove = ({ id }: Saved): void =>
    void ask('DELETE /api/saved-searches/:name', { params: { name: id } }).then(
      () => {
        setFailure(null);
        reload();
      },
      (reason: unknown) => setFailure(reason as ApiFailure),
    );
  return { list: data?.filter((saved) => saved.language === language) ?? null, error: error ?? failure, remove, reload };
}

export function SavedSearches({ me }: { readonly me: Me }): ReactNode {
  const { list: data, error, remove } = useSaved('search');
  if (data === null || data.length === 0) return error === null ? null : <Failure error={error} />;
  return (
    <div className="examples saved-searches">
      <h2>Saved searches</h2>
      {error !== null && <Failure error={error} />}
      <ul>
        {data.map((saved) => (
          <li key={saved.id}>
            <Link to={`/search${queryText({ q: saved.query })}`} title={saved.query}>
              <SafeText text={saved.name} />
            </Link>
            <span>{stateOf(saved, me.user)}</span>
            {saved.owner === me.user ? (
              <button type="button" className="quiet" aria-label={`Delete ${saved.name}`} onClick={() => remove(saved)}>
                Delete
              </button>
            ) : (
              <span>
                shared by <SafeText text={saved.owner} />
              </span>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

function stateOf({ owner, shared, every_ms: every, ran_at: ran, told, error }: Saved, user: string): string {
  const parts = [
    ...(shared && owner === user ? ['shared'] : []),
    ...(every === null ? [] : [`every ${duration(every)}`]),
    ...(ran === null ? [] : [`last run ${moment(ran)}`]),
    ...(told === 0 ? [] : [`${numbered(told, 'hit')} told`]),
    ...(error === '' ? [] : [`last run failed: ${error}`]),
  ];
  return parts.join(', ');
}

export function SaveQuery({
  me,
  language,
  query,
  onSaved = () => undefined,
}: {
  readonly me: Me;
  readonly language: Language;
  readonly query: string;
  readonly onSaved?: () => void;
}): ReactNode {
  const [open, setOpen] = useState(false);
  const [name, setName] = useState('');
  const [shared, setShared] = useState(false);
  const [every, setEvery] = useState('');
  const [done, setDone] = useState<string | null>(null);
  const [error, setError] = useState<ApiFailure | null>(null);
  if (!me.searches.create) return null;
  if (done === query) return <span className="case-added">Saved.</span>;
  return (
    <div className="case-add">
      <button type="button" className="case-button" aria-expanded={open} onClick={() => setOpen(!open)}>
        {language === 'sql' ? 'Save this query' : 'Save this search'}
      </button>
      {open && (
        <form
          className="case-choices save-search"
          onSubmit={(event) => {
            event.preventDefault();
            ask('POST /api/saved-searches', {
              body: { name, language, query, shared, every_ms: every === '' ? null : Number(every) },
            }).then(
              () => {
                setError(null);
                setOpen(false);
                setDone(query);
                onSaved();
              },
              (failure: unknown) => setError(failure as ApiFailure),
            );
          }}
        >
          <input
            type="text"
            value={name}
            maxLength={100}
            onChange={(event) => setName(event.target.value)}
            placeholder="Name"
            aria-label={language === 'sql' ? 'Name of the query' : 'Name of the search'}
          />
          {language === 'search' && (
            <select value={every} onChange={(event) => setEvery(event.target.value)} aria-label="Schedule">
              <option value="">Runs when you ask</option>
              {periods.map((ms) => (
                <option key={ms} value={ms}>
                  Every {duration(ms)}, webhooks are told of new hits
                </option>
              ))}
            </select>
          )}
          {me.searches.share && (
            <label>
              <input type="checkbox" checked={shared} onChange={(event) => setShared(event.target.checked)} /> Let others see it
            </label>
          )}
          <button type="submit" className="case-button" disabled={name.trim() === ''}>
            Save
          </button>
          {error !== null && <Failure error={error} />}
        </form>
      )}
    </div>
  );
}
