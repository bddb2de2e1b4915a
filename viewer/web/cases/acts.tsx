/** The actions available on a case: take it, investigate, close with the approval of two people, reopen. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import type { CaseHead } from '#schemas/api/cases/cases.js';
import { actTakesReason, caseActs, caseAfter } from '#schemas/documents/case.js';
import type { CaseAct } from '#schemas/documents/case.js';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { ApiFailure } from '../parts/api.js';
import { Failure } from '../parts/basics.js';
import { ask } from '../parts/endpoints.js';

const acts: Readonly<Record<CaseAct, { readonly button: string; readonly asks: string }>> = {
  investigate: { button: 'Investigate', asks: '' },
  close: { button: 'Ask to close', asks: 'What was found, and what was done?' },
  sign: { button: 'Sign off', asks: '' },
  return: { button: 'Send back', asks: 'What is missing?' },
  reopen: { button: 'Reopen', asks: 'Why again?' },
};

export interface CaseActsProps {
  readonly head: CaseHead;
  readonly me: Me;
  readonly onChange: () => void;
}

export function CaseActs({ head, me, onChange }: CaseActsProps): ReactNode {
  const { id, state, assignee, closing } = head;
  const [asking, setAsking] = useState<CaseAct | null>(null);
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiFailure | null>(null);
  const run = (work: Promise<unknown>): void => {
    setBusy(true);
    work
      .then(
        () => {
          setError(null);
          setAsking(null);
          setReason('');
        },
        (failure: unknown) => setError(failure as ApiFailure),
      )
      .finally(() => {
        setBusy(false);
        onChange();
      });
  };
  const decide = (act: CaseAct): void => run(ask('POST /api/cases/:name/state', { params: { name: id }, body: { act, reason } }));
  const own = state === 'closing' && closing?.by === me.user;
  if (asking !== null)
    return (
      <form
        className="case-reason"
        onSubmit={(event) => {
          event.preventDefault();
          decide(asking);
        }}
      >
        <textarea
          value={reason}
          maxLength={4096}
          rows={2}
          required
          // This field replaced the button that was pressed.
          autoFocus
          onChange={(event) => setReason(event.target.value)}
          placeholder={acts[asking].asks}
          aria-label={acts[asking].asks}
        />
        <div className="case-buttons">
          <button type="submit" className="case-button strong" disabled={busy || reason.trim() === ''}>
            {acts[asking].button}
          </button>
          <button type="button" className="case-button" onClick={() => setAsking(null)}>
            Cancel
          </button>
        </div>
        {error !== null && <Failure error={error} />}
      </form>
    );
  return (
    <div className="case-acts">
      {(state === 'open' || state === 'investigating') && assignee !== me.user && (
        <button
          type="button"
          className="case-button"
          disabled={busy}
          onClick={() => run(ask('POST /api/cases/:name', { params: { name: id }, body: { assignee: me.user } }))}
        >
          Take it on
        </button>
      )}
      {caseActs
        .filter((act) => caseAfter(state, act) !== null)
        .map((act) => (
          <button
            key={act}
            type="button"
            className={act === 'sign' ? 'case-button strong' : 'case-button'}
            disabled={busy || (act === 'sign' && own)}
            title={act === 'sign' && own ? 'Somebody else signs what you asked to close' : undefined}
            onClick={() => (actTakesReason(act) ? setAsking(act) : decide(act))}
          >
            {acts[act].button}
          </button>
        ))}
      {own && <span className="hint">Somebody else signs what you asked to close.</span>}
      {error !== null && <Failure error={error} />}
    </div>
  );
}
