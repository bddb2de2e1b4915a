/** Invites a user into a live session from its page: shows the link once, then the invitations and how to revoke them. */
import { useState } from 'react';
import type { ReactNode, SubmitEvent } from 'react';
import type { InvitedMode, SessionInvitationView } from '#schemas/documents/session-invitation.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { ApiFailure } from '../parts/api.js';
import { Copy, Failure } from '../parts/basics.js';
import { ask } from '../parts/endpoints.js';
import { duration, isoTime, moment } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import './invite.css';

const REFRESH_MS = 5_000;
const spans = [15, 30, 60, 240, 1440].map((minutes) => minutes * 60_000);
const modeText = { observer: 'watch', peer: 'watch and type' } as const;
const none: readonly SessionInvitationView[] = [];

/** `modes`: the participant modes that the viewer's roles let them invite to; at least one. */
export function InvitePanel({ session, modes }: { readonly session: SessionInfo; readonly modes: readonly InvitedMode[] }): ReactNode {
  const [open, setOpen] = useState(false);
  return (
    <details className="menu" name="actions" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Invite</summary>
      <div className="menu-body">{open && <Invitations session={session} modes={modes} />}</div>
    </details>
  );
}

function Invitations({ session, modes }: { readonly session: SessionInfo; readonly modes: readonly InvitedMode[] }): ReactNode {
  const { data, error, reload } = useAnswer('GET /api/session-invitations', {}, REFRESH_MS);
  const [made, setMade] = useState<SessionInvitationView | null>(null);
  const here = (data ?? none).filter(({ session: id, state }) => id === session.id && (state === 'open' || state === 'used'));
  return (
    <div className="invite">
      {made === null ? (
        <InviteForm
          session={session.id}
          modes={modes}
          onMade={(invitation) => {
            setMade(invitation);
            reload();
          }}
        />
      ) : (
        <div className="invite-made" role="status">
          <p>
            <strong>
              <SafeText text={made.user} />
            </strong>{' '}
            may {modeText[made.mode]}, once, until {moment(made.expires_at)}. Send them this link; it is shown here once:
          </p>
          <Copy text={made.link} label="Copy the link" />
          <button type="button" className="quiet" onClick={() => setMade(null)}>
            Invite somebody else
          </button>
        </div>
      )}
      {error !== null && <Failure error={error} />}
      {here.length > 0 && (
        <section className="invited">
          <h3>Invited</h3>
          <ul>
            {here.map((invitation) => (
              <Invited key={invitation.id} invitation={invitation} onChange={reload} />
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function InviteForm({
  session,
  modes,
  onMade,
}: {
  readonly session: string;
  readonly modes: readonly InvitedMode[];
  readonly onMade: (invitation: SessionInvitationView) => void;
}): ReactNode {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiFailure | null>(null);
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const text = (name: string): string => {
      const value = given.get(name);
      return typeof value === 'string' ? value.trim() : '';
    };
    setBusy(true);
    ask('POST /api/session-invitations', {
      body: {
        session,
        user: text('user'),
        mode: modes.find((mode) => mode === text('mode')) ?? modes[0]!,
        duration: Number(text('duration')),
        reason: text('reason'),
      },
    })
      .then(onMade, (failure: unknown) => setError(failure as ApiFailure))
      .finally(() => setBusy(false));
  };
  return (
    <form onSubmit={submit}>
      <label>
        <span className="label">User</span>
        <input name="user" required maxLength={128} autoComplete="off" autoCapitalize="none" spellCheck={false} />
      </label>
      <div className="invite-terms">
        <label>
          <span className="label">To</span>
          <select name="mode">
            {modes.map((mode) => (
              <option key={mode} value={mode}>
                {modeText[mode]}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span className="label">For</span>
          <select name="duration" defaultValue={30 * 60_000}>
            {spans.map((ms) => (
              <option key={ms} value={ms}>
                {duration(ms)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <label>
        <span className="label">Why</span>
        <input name="reason" required maxLength={300} autoComplete="off" placeholder="Recorded with the session" />
      </label>
      {error !== null && <Failure error={error} />}
      <button type="submit" className="strong" disabled={busy}>
        Invite
      </button>
    </form>
  );
}

function Invited({
  invitation: { id, user, mode, state, by, expires_at: until, reason },
  onChange,
}: {
  readonly invitation: SessionInvitationView;
  readonly onChange: () => void;
}): ReactNode {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiFailure | null>(null);
  const withdraw = (): void => {
    setBusy(true);
    ask('POST /api/session-invitations/:name/revoke', { params: { name: id }, body: {} })
      .then(
        () => setError(null),
        (failure: unknown) => setError(failure as ApiFailure),
      )
      .finally(() => {
        setBusy(false);
        onChange();
      });
  };
  return (
    <li>
      <div>
        <strong>
          <SafeText text={user} />
        </strong>{' '}
        to {modeText[mode]}, by <SafeText text={by} />
        <span className="invited-state" data-state={state}>
          {state === 'used' ? 'has come' : 'not yet here'}
        </span>
        <p>
          until <time dateTime={isoTime(until)}>{moment(until)}</time>: <SafeText text={reason} />
        </p>
      </div>
      <button type="button" className="quiet" onClick={withdraw} disabled={busy} title="Whoever is in by it must leave">
        Withdraw
      </button>
      {error !== null && <Failure error={error} />}
    </li>
  );
}
