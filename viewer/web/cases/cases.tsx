/** The list of cases, and the form that opens one. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import { navigate } from 'wouter/use-browser-location';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { CaseHead } from '#schemas/api/cases/cases.js';
import type { ApiFailure } from '../parts/api.js';
import { Copy, Empty, Failure, useTitle } from '../parts/basics.js';
import { ask } from '../parts/endpoints.js';
import { isoTime, moment, numbered } from '../parts/format.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import './cases.css';

const REFRESH_MS = 10_000;
const choices = [
  ['', 'To do'],
  ['closing', 'To sign'],
  ['closed', 'Closed'],
  ['all', 'All'],
] as const;

export function CasesPage({ me }: { readonly me: Me }): ReactNode {
  useTitle('Cases');
  const [query] = useSearchParams();
  const chosen = choices.find(([state]) => state === query.get('state'))?.[0] ?? '';
  const { data, error } = useAnswer('GET /api/cases', { query: { state: chosen } }, REFRESH_MS);
  const [opening, setOpening] = useState(false);
  return (
    <section className="page reading cases">
      <div className="page-head">
        <h1>Cases</h1>
        <nav className="case-states" aria-label="State">
          {choices.map(([state, text]) => (
            <Link key={state} to={`/cases${queryText({ state })}`} aria-current={state === chosen ? 'page' : undefined}>
              {text}
            </Link>
          ))}
        </nav>
        {me.cases.create && !opening && (
          <button type="button" className="case-button strong" onClick={() => setOpening(true)}>
            New case
          </button>
        )}
      </div>
      {opening && <NewCase onCancel={() => setOpening(false)} />}
      {error !== null && <Failure error={error} />}
      {data !== null && data.length === 0 && <Nothing state={chosen} />}
      {data !== null && data.length > 0 && (
        <ol className="case-list">
          {data.map((head) => (
            <li key={head.id}>
              <CaseRow head={head} />
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function CaseRow({ head }: { readonly head: CaseHead }): ReactNode {
  const { id, title, state, assignee, items, updated_at: at, closing, signed } = head;
  return (
    <Link to={`/cases/${id}`} className="case-row">
      <CaseState state={state} />
      <span className="case-title">
        <SafeText text={title} />
      </span>
      <span className="case-who">
        {assignee === null ? <span className="hint">unassigned</span> : <SafeText text={assignee} />}
        {closing !== null && signed === null && (
          <span className="hint">
            {' '}
            · <SafeText text={closing.by} /> asks to close
          </span>
        )}
      </span>
      <span className="case-count">{numbered(items, 'item')}</span>
      <time dateTime={isoTime(at)}>{moment(at)}</time>
    </Link>
  );
}

const stateText = { open: 'open', investigating: 'investigating', closing: 'to sign', closed: 'closed' } as const;

export function CaseState({ state }: { readonly state: CaseHead['state'] }): ReactNode {
  return <span className={`case-state case-state-${state}`}>{stateText[state]}</span>;
}

function Nothing({ state }: { readonly state: string }): ReactNode {
  if (state !== '') return <Empty title="No cases like that" />;
  return (
    <Empty title="No cases to work on">
      <p>A case gathers what belongs together: sessions, moments, findings, searches. It has one timeline, and two people close it.</p>
      <p>Open one here, or in a terminal:</p>
      <Copy text='steno cases new "What happened"' label="Copy the command" />
    </Empty>
  );
}

function NewCase({ onCancel }: { readonly onCancel: () => void }): ReactNode {
  const [title, setTitle] = useState('');
  const [summary, setSummary] = useState('');
  const [error, setError] = useState<ApiFailure | null>(null);
  const [busy, setBusy] = useState(false);
  return (
    <form
      className="case-form"
      onSubmit={(event) => {
        event.preventDefault();
        setBusy(true);
        ask('POST /api/cases', { body: { title, summary } })
          .then(
            ({ id }) => navigate(`/cases/${id}`),
            (failure: unknown) => setError(failure as ApiFailure),
          )
          .finally(() => setBusy(false));
      }}
    >
      <label>
        <span>What happened</span>
        <input type="text" value={title} maxLength={200} required autoFocus onChange={(event) => setTitle(event.target.value)} />
      </label>
      <label>
        <span>Summary, if there is more to say</span>
        <textarea value={summary} maxLength={8192} rows={3} onChange={(event) => setSummary(event.target.value)} />
      </label>
      <div className="case-buttons">
        <button type="submit" className="case-button strong" disabled={busy || title.trim() === ''}>
          Open the case
        </button>
        <button type="button" className="case-button" onClick={onCancel}>
          Cancel
        </button>
      </div>
      {error !== null && <Failure error={error} />}
    </form>
  );
}
