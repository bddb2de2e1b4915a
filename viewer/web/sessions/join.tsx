/** The target of an invitation link to a live session: explains the invitation and how to join from a terminal. */
import type { ReactNode } from 'react';
import type { SessionInvitationView } from '#schemas/documents/session-invitation.js';
import { Copy, Empty, Failure, useTitle } from '../parts/basics.js';
import { moment } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';

const modeText = { observer: 'to watch', peer: 'to type too' } as const;
const overText = {
  used: 'It was used. An invitation lets you in once; ask for another one if you have left.',
  revoked: 'It was revoked. Ask whoever invited you.',
  over: 'Its time is over, or the session has ended. Ask whoever invited you for another one.',
} as const;

export function JoinPage({ id, user }: { readonly id: string; readonly user: string }): ReactNode {
  useTitle('Invitation');
  const { data, error } = useAnswer('GET /api/session-invitations/:name', { params: { name: id } });
  return (
    <section className="page join">
      <h1>Invitation into a live session</h1>
      {error !== null && <Failure error={error} />}
      {data !== null && <Invitation invitation={data} user={user} />}
    </section>
  );
}

function Invitation({ invitation, user }: { readonly invitation: SessionInvitationView; readonly user: string }): ReactNode {
  const { id, state, user: invited, by, mode, login, node, session_user: owner, reason, expires_at: until } = invitation;
  return (
    <>
      <p>
        <SafeText text={by} /> invites <SafeText text={invited} /> {modeText[mode]} in the session of <SafeText text={owner} /> (
        <span className="mono">
          <SafeText text={`${login}@${node}`} />
        </span>
        ), until {moment(until)}.
      </p>
      <p>
        Why: <SafeText text={reason} />
      </p>
      {state !== 'open' ? (
        <Empty title="This invitation is over">
          <p>{overText[state]}</p>
        </Empty>
      ) : invited === user ? (
        <>
          <p>Run this in a terminal where you are logged in to Steno:</p>
          <Copy text={`steno join ${id}`} label="Copy the command" />
        </>
      ) : (
        <p>
          It counts for <SafeText text={invited} /> alone.
        </p>
      )}
    </>
  );
}
