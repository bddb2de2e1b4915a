/**
 * Decides who may join which live session, and in which mode: by the user's roles, or by an invitation from a user whose roles permit
 * inviting. The decision is made when a user joins, and again with every snapshot that can affect it.
 *
 * Joining gives a terminal or a view of the session, and nothing else: no agent, no forwarding, no node. Users join their own sessions
 * only as the owner, who satisfies no demand for participants, controls who types, and can send messages. Users of other clusters cannot
 * join any session. Tested in joining.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { termsOf } from '#schemas/policy/node.js';
import type { SessionInvitation } from '#schemas/documents/session-invitation.js';
import type { ParticipantMode, SessionJoin } from '#schemas/session-join.js';
import { assertUnlocked, lockTargets, rolesNamed } from '#runtime/http/request-auth.js';
import type { SessionLimits } from '#schemas/policy/node.js';
import type { JoinMode, Role } from '#schemas/policy/role.js';
import { decideSession } from '#schemas/policy/session.js';
import type { SessionTarget } from '#schemas/policy/session.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { assertAdmitted } from '../sessions/authorization.js';
import type { LiveSession, SessionAbout } from '../sessions/live-session.js';

export interface JoinAllowed {
  readonly limits: SessionLimits;
  readonly roles: readonly string[];
  /** A role of the participant requires a second factor for each session. */
  readonly sessionMfa: boolean;
  /** The invitation by which the participant joins; null: by their own roles. */
  readonly invited: SessionInvitation | null;
}

/**
 * Throws LOCKED, REQUEST_OVER, ACCESS_DENIED, SESSION_NOT_JOINABLE, or SESSION_NOT_LIVE if the user may not know that the session
 * exists. `now`: ms since 1970. `awaited`: the session needs participants, so it can be joined even if it has no terminal.
 */
export function authorizeJoin(
  snapshot: Snapshot,
  identity: UserIdentity,
  session: LiveSession | undefined,
  { mode, invitation }: Pick<SessionJoin, 'mode' | 'invitation'>,
  now: number,
  awaited: boolean,
): JoinAllowed & { readonly about: SessionAbout } {
  const about = session?.about ?? null;
  const place = about === null ? undefined : { login: about.login, node: about.node };
  const roles = assertAdmitted(snapshot, identity, place, now);
  if (session === undefined) throw new StenoError('SESSION_NOT_LIVE');
  if (identity.cluster !== null) throw new StenoError('ACCESS_DENIED', 'users of other clusters join no sessions');
  if (about === null) throw new StenoError('SESSION_NOT_JOINABLE');
  const invited = invitation === undefined ? null : assertInvited(snapshot, identity, session, about, mode, invitation, now);
  if (mode === 'owner') {
    if (about.user !== identity.user) throw new StenoError(invited === null ? 'SESSION_NOT_LIVE' : 'ACCESS_DENIED');
  } else {
    assertAllowed(snapshot, identity, roles, about, mode, invited !== null);
    if (about.user === identity.user) throw new StenoError('ACCESS_DENIED', 'this session is your own; join it as owner');
  }
  if (about.size() === null && !awaited) throw new StenoError('SESSION_NOT_JOINABLE', 'it has no terminal');
  const { limits, sessionMfa } = termsOf(roles);
  // Only the certificate's limit applies to a participant.
  return {
    about,
    invited,
    sessionMfa,
    roles: roles.map(({ name }) => name),
    limits: {
      maxSessionLength: null,
      idleTimeout: null,
      maxSessions: null,
      disconnectExpiredCert: limits.disconnectExpiredCert,
      reconnect: null,
    },
  };
}

function assertAllowed(
  snapshot: Snapshot,
  { user, traits }: UserIdentity,
  roles: readonly Role[],
  about: SessionAbout,
  mode: JoinMode,
  invited: boolean,
): void {
  const since = Object.hasOwn(snapshot.own_since, user) ? snapshot.own_since[user] : undefined;
  const subject = { user, traits, roles, ...(since === undefined ? {} : { since }) };
  const target = targetOf(about);
  const join = decideSession(subject, 'join', target, about.labels, mode);
  const verdict = join.allowed && mode === 'moderator' ? decideSession(subject, 'moderate', target, about.labels) : join;
  // An invitation replaces a missing permission, but never overrides a denial by a role.
  if (verdict.allowed || (invited && verdict.because === null)) return;
  const known = invited || decideSession(subject, 'list', target, about.labels).allowed;
  throw known ? new StenoError('ACCESS_DENIED', verdict.reason) : new StenoError('SESSION_NOT_LIVE');
}

/** Throws SESSION_INVITATION_OVER or _FOREIGN. Uses the roles that the inviting user had then, as those roles are defined now. */
function assertInvited(
  { invitations, roles: documents, locks }: Snapshot,
  { user }: UserIdentity,
  { id: session }: LiveSession,
  about: SessionAbout,
  mode: ParticipantMode,
  id: string,
  now: number,
): SessionInvitation {
  const invitation = (invitations as Snapshot['invitations'] | undefined)?.find((one) => one.id === id);
  if (invitation === undefined || invitation.expires_at <= now) throw new StenoError('SESSION_INVITATION_OVER');
  if (invitation.user !== user) throw new StenoError('SESSION_INVITATION_FOREIGN', 'it is for another user');
  if (invitation.session !== session) throw new StenoError('SESSION_INVITATION_FOREIGN', 'it is for another session');
  if (invitation.mode !== mode) throw new StenoError('SESSION_INVITATION_FOREIGN', `it is for joining as ${invitation.mode}`);
  const { by, roles, traits, since } = invitation;
  let held: readonly Role[];
  try {
    held = rolesNamed(roles, documents);
    assertUnlocked(locks, lockTargets({ user: by, roles, requests: [], mfa: null }), now);
  } catch {
    throw new StenoError('SESSION_INVITATION_OVER', `${by}, who invited, is locked or has lost a role`);
  }
  const target = targetOf(about);
  const author = { user: by, traits, roles: held, ...(since === null ? {} : { since }) };
  if (!decideSession(author, 'invite', target, about.labels, invitation.mode).allowed)
    throw new StenoError('SESSION_INVITATION_OVER', `${by} may not invite into this session any more`);
  return invitation;
}

/** The session as seen by the conditions of roles. */
function targetOf({ user, node, login, kind, startedAt }: SessionAbout): SessionTarget {
  return { user, node, login, kind, started_at: startedAt };
}
