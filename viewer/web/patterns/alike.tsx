/** Sessions that ran the same commands as a given one. Loaded on request only: each query is written to the audit log. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import { Failure } from '../parts/basics.js';
import { moment } from '../parts/format.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import './patterns.css';

export function Alike({ session }: { readonly session: string }): ReactNode {
  const [asked, setAsked] = useState(false);
  const { data, error } = useAnswer('GET /api/sessions/:id/alike', asked ? { params: { id: session } } : null);
  return (
    <section className="alike">
      <h2>Sessions alike</h2>
      {!asked && (
        <button type="button" className="quiet" onClick={() => setAsked(true)}>
          Look for them
        </button>
      )}
      {error !== null && <Failure error={error} />}
      {data !== null && data.sessions.length === 0 && <p className="hint">None of the last thirty days ran two commands of this one.</p>}
      {data !== null && data.sessions.length > 0 && (
        <ol className="alike-list">
          {data.sessions.slice(0, 8).map(({ session: other, shared, either, commands }) => (
            <li key={other.id}>
              <Link to={`/sessions/${other.id}`}>
                <SafeText text={`${other.user} → ${other.login}@${other.node}`} />
              </Link>{' '}
              <Link className="alike-compare" to={`/compare${queryText({ a: session, b: other.id })}`}>
                compare
              </Link>
              <br />
              <span className="hint">
                {moment(other.started_at)}, {shared} of {either} commands: <SafeText text={commands.slice(0, 4).join(', ')} />
              </span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
