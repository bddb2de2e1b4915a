/**
 * How a participant addresses a live session: by the SSH user name of a connection to the gateway, so that a stock client needs
 * nothing else.
 *
 *     ssh -t join.01jdv3k5m8q2w7x9y4z6a0b1c2@GATEWAY          as an observer
 *     ssh -t join.01jdv3k5m8q2w7x9y4z6a0b1c2.peer@GATEWAY     as a peer
 *     ssh -t join.01jdv3k5m8q2w7x9y4z6a0b1c2.peer.i-0123456789abcdef@GATEWAY     by an invitation
 *
 * No login has this form: a session id is 26 characters and a login at most 32, but a login is always followed by `@NODE`.
 * Tested in session-join.test.ts.
 */
import { invitationPattern } from './documents/session-invitation.js';
import { sessionIdPattern } from './events/rows.js';
import { joinModes } from './policy/role.js';
import type { JoinMode } from './policy/role.js';

/** `owner`: the session's own user at a second terminal, to decide who types and to chat. */
export type ParticipantMode = JoinMode | 'owner';
export const participantModes = [...joinModes, 'owner'] as const satisfies readonly ParticipantMode[];

export interface SessionJoin {
  readonly session: string;
  readonly mode: ParticipantMode;
  /** Omitted if roles permit joining. */
  readonly invitation?: string;
}

const pattern = /^join\.([0-9a-z]+)(?:\.([a-z]+)(?:\.(i-[0-9a-z]+))?)?$/;

/**
 * Variable by which a client announces that its user can go back in time, and the size of their terminal, as in `120x30`. `steno join` is
 * between the terminal and its `ssh`, so `ssh` does not know the size.
 */
export const VIEW_VARIABLE = 'STENO_VIEW';

/** Null unless the user name is the address of a session. Never throws. */
export function parseSessionJoin(userName: string): SessionJoin | null {
  const [, session, written = 'observer', invitation] = pattern.exec(userName) ?? [];
  const mode = participantModes.find((known) => known === written);
  if (session === undefined || !sessionIdPattern.test(session) || mode === undefined) return null;
  if (invitation === undefined) return { session, mode };
  return invitationPattern.test(invitation) ? { session, mode, invitation } : null;
}

export function formatSessionJoin({ session, mode, invitation }: SessionJoin): string {
  if (invitation !== undefined) return `join.${session}.${mode}.${invitation}`;
  return mode === 'observer' ? `join.${session}` : `join.${session}.${mode}`;
}
