/** A button that adds something to a case, either an open one or a new one. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { ApiFailure } from '../parts/api.js';
import { Failure } from '../parts/basics.js';
import { ask } from '../parts/endpoints.js';
import type { Given } from '../parts/endpoints.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import './cases.css';

type Items = Given<'POST /api/cases/:name/items'>['body']['items'];

export interface AddToCaseProps {
  readonly me: Me;
  /** The items to add, evaluated when a case is chosen. */
  readonly items: () => Items;
  readonly label?: string;
}

export function AddToCase(props: AddToCaseProps): ReactNode {
  if (!props.me.cases.read || !props.me.cases.update) return null;
  return <Choice {...props} />;
}

function Choice({ me, items, label = 'Add to a case' }: AddToCaseProps): ReactNode {
  const [open, setOpen] = useState(false);
  const [error, setError] = useState<ApiFailure | null>(null);
  const [done, setDone] = useState<string | null>(null);
  const [title, setTitle] = useState('');
  const heads = useAnswer('GET /api/cases', open ? {} : null);
  const choices = (heads.data ?? []).filter(({ state }) => state === 'open' || state === 'investigating');
  const add = (id: string): Promise<void> =>
    ask('POST /api/cases/:name/items', { params: { name: id }, body: { items: items() } }).then(
      () => {
        setError(null);
        setDone(id);
        setOpen(false);
      },
      (failure: unknown) => setError(failure as ApiFailure),
    );
  if (done !== null)
    return (
      <span className="case-added">
        Added. <Link to={`/cases/${done}`}>Open the case</Link>
      </span>
    );
  return (
    <div className="case-add">
      <button type="button" className="case-button" aria-expanded={open} onClick={() => setOpen(!open)}>
        {label}
      </button>
      {open && (
        <div className="case-choices">
          {heads.error !== null && <Failure error={heads.error} />}
          {choices.map((head) => (
            <button key={head.id} type="button" className="case-choice" onClick={() => void add(head.id)}>
              <SafeText text={head.title} />
            </button>
          ))}
          {heads.data !== null && choices.length === 0 && <p className="hint">No case is open.</p>}
          {me.cases.create && (
            <form
              className="case-choice-new"
              onSubmit={(event) => {
                event.preventDefault();
                ask('POST /api/cases', { body: { title } }).then(
                  ({ id }) => add(id),
                  (failure: unknown) => setError(failure as ApiFailure),
                );
              }}
            >
              <input
                type="text"
                value={title}
                maxLength={200}
                onChange={(event) => setTitle(event.target.value)}
                placeholder="A new case: what happened"
                aria-label="Title of a new case"
              />
              <button type="submit" className="case-button" disabled={title.trim() === ''}>
                Open
              </button>
            </form>
          )}
          {error !== null && <Failure error={error} />}
        </div>
      )}
    </div>
  );
}
