/** Access requests: those to decide, a form for a new one, the user's own, and the outcome of all of them. */
import { useState } from 'react';
import type { ReactNode, SubmitEvent } from 'react';
import { describeItem } from '#schemas/documents/access-request.js';
import type { RequestView } from '#schemas/documents/access-request.js';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { ApiFailure } from '../parts/api.js';
import { ask } from '../parts/endpoints.js';
import { duration, isoTime, moment, numbered } from '../parts/format.js';
import { Copy, Empty, Failure, useTitle } from '../parts/basics.js';
import { SafeLines } from '../parts/safe-lines.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import './requests.css';

const REFRESH_MS = 5_000;
const stateText = {
  pending: 'Waiting',
  approved: 'Approved',
  denied: 'Denied',
  cancelled: 'Cancelled',
  expired: 'Expired',
  over: 'Over',
} as const;

export function RequestsPage({ me }: { readonly me: Me }): ReactNode {
  useTitle('Access requests');
  const { data, error, reload } = useAnswer('GET /api/requests', {}, REFRESH_MS);
  const all = data ?? [];
  const waiting = all.filter(({ may_review: may }) => may);
  const mine = all.filter(({ user, state }) => user === me.user && (state === 'pending' || state === 'approved'));
  const rest = all.filter((request) => !waiting.includes(request) && !mine.includes(request));
  return (
    <div className="page reading requests">
      <div className="page-head">
        <h1>Access requests</h1>
        {waiting.length > 0 && <span className="count">{waiting.length} to decide</span>}
      </div>
      {error !== null && <Failure error={error} />}
      <Section title="To decide" requests={waiting} me={me} onChange={reload} />
      <Section title="Yours" requests={mine} me={me} onChange={reload} />
      <NewRequest onMade={reload} />
      <Section title="History" requests={rest} me={me} onChange={reload} />
      {data !== null && all.length === 0 && (
        <Empty title="No requests yet">
          <p>
            A request gives a role, or a login on some nodes, for a while, once others have approved it. What you ask for, and what others
            ask of you, appears here.
          </p>
          <p>In a terminal:</p>
          <Copy text="steno request create --role ROLE --reason WHY" label="Copy the command" />
        </Empty>
      )}
    </div>
  );
}

interface SectionProps {
  readonly title: string;
  readonly requests: readonly RequestView[];
  readonly me: Me;
  readonly onChange: () => void;
}

function Section({ title, requests, me, onChange }: SectionProps): ReactNode {
  if (requests.length === 0) return null;
  return (
    <section>
      <h2>{title}</h2>
      {requests.map((request) => (
        <Request key={request.id} request={request} own={request.user === me.user} onChange={onChange} />
      ))}
    </section>
  );
}

function Request({
  request,
  own,
  onChange,
}: {
  readonly request: RequestView;
  readonly own: boolean;
  readonly onChange: () => void;
}): ReactNode {
  const { id, user, state, items, reason, thresholds, reviews, changed } = request;
  const approvals = reviews.filter(({ decision }) => decision === 'approve').length;
  return (
    <article className="request" aria-label={`Request ${id} of ${user}`}>
      <div className="request-head">
        <strong>{own ? 'You' : <SafeText text={user} />}</strong>
        <span>{state === 'pending' ? (own ? 'ask for' : 'asks for') : 'asked for'}</span>
        <span className={`state state-${state}`}>{stateText[state]}</span>
        {changed.length > 0 && (
          <span className="state state-denied" title={`Changed since: ${changed.join(', ')}. Make a new request.`}>
            Role changed, grants nothing
          </span>
        )}
      </div>
      <ul className="grants" aria-label="What it grants">
        {items.map((item, i) => (
          <li key={i}>
            <SafeText text={describeItem(item)} />
          </li>
        ))}
      </ul>
      <p className="why">
        <SafeLines text={reason} />
      </p>
      <p className="facts-line spaced">
        <span className="mono">{id}</span>
        <span>for {duration(request.duration)}</span>
        <span>
          requested <Moment at={request.created_at} />
        </span>
        {state === 'pending' && (
          <>
            <span>
              {approvals} of {numbered(thresholds.approve, 'approval')}
            </span>
            <span>
              decision due <Moment at={request.expires_at} />
            </span>
          </>
        )}
        {state === 'approved' && request.ends_at !== null && (
          <span>
            ends <Moment at={request.ends_at} />
          </span>
        )}
      </p>
      {reviews.map((review) => (
        <p key={review.reviewer} className="facts-line">
          {review.decision === 'approve' ? 'Approved' : 'Denied'} by <SafeText text={review.reviewer} /> through{' '}
          <SafeText text={review.via} />, <Moment at={review.at} />
          {review.reason !== '' && (
            <>
              : <SafeText text={review.reason} />
            </>
          )}
        </p>
      ))}
      {state === 'approved' && own && changed.length === 0 && (
        <Copy text={`steno request use ${id}`} label="Copy the command that uses it" />
      )}
      {(request.may_review || request.may_cancel) && <Decide request={request} onChange={onChange} />}
    </article>
  );
}

function Decide({ request, onChange }: { readonly request: RequestView; readonly onChange: () => void }): ReactNode {
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiFailure | null>(null);
  const act = (decide: () => Promise<unknown>): void => {
    setBusy(true);
    decide()
      .then(
        () => setError(null),
        (failure: unknown) => setError(failure as ApiFailure),
      )
      .finally(() => {
        setBusy(false);
        onChange();
      });
  };
  const params = { name: request.id };
  const review = (decision: 'approve' | 'deny'): void =>
    act(() => ask('POST /api/requests/:name/review', { params, body: { decision, reason } }));
  return (
    <>
      <div className="decide">
        <input
          type="text"
          value={reason}
          maxLength={1024}
          onChange={(event) => setReason(event.target.value)}
          placeholder="Reason (optional)"
          aria-label="Reason of your decision"
        />
        {request.may_review && (
          <>
            <button type="button" className="strong" disabled={busy} onClick={() => review('approve')}>
              Approve
            </button>
            <button type="button" className="plain" disabled={busy} onClick={() => review('deny')}>
              Deny
            </button>
          </>
        )}
        {request.may_cancel && (
          <button
            type="button"
            className="plain"
            disabled={busy}
            onClick={() => act(() => ask('POST /api/requests/:name/cancel', { params, body: { reason } }))}
          >
            {request.state === 'approved' ? 'End now' : 'Cancel'}
          </button>
        )}
      </div>
      {error !== null && <Failure error={error} />}
    </>
  );
}

const spans = [15, 30, 60, 120, 240, 480, 1440, 10_080].map((minutes) => minutes * 60_000);

function NewRequest({ onMade }: { readonly onMade: () => void }): ReactNode {
  const { data: options } = useAnswer('GET /api/request-options', {});
  const [kind, setKind] = useState<'roles' | 'nodes'>('roles');
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [reason, setReason] = useState('');
  const [span, setSpan] = useState(3_600_000);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiFailure | null>(null);
  if (options === null || options.roles.length + options.nodes.length === 0) return null;
  const kinds = (['roles', 'nodes'] as const).filter((one) => options[one].length > 0);
  const shown = kinds.includes(kind) ? kind : kinds[0]!;
  const offered = options[shown];
  const most = Math.min(...offered.filter(({ name }) => chosen.includes(name)).map(({ max_duration: max }) => max), 30 * 86_400_000);
  const possible = spans.filter((ms) => ms <= most);
  const lasts = possible.includes(span) ? span : (possible.at(-1) ?? most);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setBusy(true);
    ask('POST /api/requests', { body: { [shown]: chosen, reason, duration: lasts } })
      .then(
        () => {
          setChosen([]);
          setReason('');
          setError(null);
          onMade();
        },
        (failure: unknown) => setError(failure as ApiFailure),
      )
      .finally(() => setBusy(false));
  };
  return (
    <section>
      <h2>New request</h2>
      <form className="request ask" onSubmit={submit}>
        {kinds.length > 1 && (
          <fieldset>
            <legend>Ask for</legend>
            {kinds.map((one) => (
              <label key={one} className="choice">
                <input
                  type="radio"
                  name="kind"
                  checked={shown === one}
                  onChange={() => {
                    setKind(one);
                    setChosen([]);
                  }}
                />
                {one === 'roles' ? 'a role' : 'nodes'}
              </label>
            ))}
          </fieldset>
        )}
        <fieldset>
          <legend>{shown === 'roles' ? 'Roles' : 'Nodes'}</legend>
          {offered.map((one) => (
            <label key={one.name} className="choice">
              <input
                type="checkbox"
                checked={chosen.includes(one.name)}
                onChange={(event) => setChosen(event.target.checked ? [...chosen, one.name] : chosen.filter((name) => name !== one.name))}
              />
              <SafeText text={one.name} />
              <small>
                {'logins' in one ? `as ${one.logins.join(', ')}; ` : ''}
                {one.approvals} approval{one.approvals === 1 ? '' : 's'}
              </small>
            </label>
          ))}
        </fieldset>
        <label>
          <span className="label">Why</span>
          <textarea
            required
            value={reason}
            maxLength={1024}
            onChange={(event) => setReason(event.target.value)}
            placeholder="The incident or ticket, and what you will do"
          />
        </label>
        <div className="ask-foot">
          <label>
            <span className="label">For how long </span>
            <select value={lasts} onChange={(event) => setSpan(Number(event.target.value))}>
              {(possible.length === 0 ? [most] : possible).map((ms) => (
                <option key={ms} value={ms}>
                  {duration(ms)}
                </option>
              ))}
            </select>
          </label>
          <button type="submit" className="strong" disabled={busy || chosen.length === 0 || reason.trim() === ''}>
            Send the request
          </button>
        </div>
        {error !== null && <Failure error={error} />}
      </form>
    </section>
  );
}

function Moment({ at }: { readonly at: number }): ReactNode {
  return <time dateTime={isoTime(at)}>{moment(at)}</time>;
}
