/**
 * Invitations to live sessions: `steno invite`. A user whose roles permit it invites one named user to a session, in one mode, for a
 * limited time.
 *
 *     open ──its user joins──► used
 *       ├──expires_at, the session ends──► over
 *       └──revoked, or the invited user or the inviter is removed, disabled or given other roles──► revoked
 *
 * An invitation is not a secret: it is valid for its user only, who presents a certificate as usual. Gateways receive open invitations
 * by the watch, and decide with the inviter's roles at the time of the invitation and the current documents of these roles, so that an
 * invitation never gives more than the inviter could. Checks: `PowerGuard.mayInvite` when it is created, `authorizeJoin` when and
 * while it is used.
 */
import { z } from 'zod';
import { record } from '../endpoint/fields.js';
import type { Traits } from '../base/identity.js';

/** 80 random bits. */
export const invitationPattern = /^i-[0-9a-hjkmnp-tv-z]{16}$/;

/** Modes for which users can be invited. Only roles make moderators. */
export const invitedModes = ['observer', 'peer'] as const;
export type InvitedMode = (typeof invitedModes)[number];

/** ms. */
export const INVITATION_MS = { least: 60_000, most: 86_400_000 } as const;
/** Open invitations per user, and published invitations in all, which every watcher must hold. */
export const MAX_INVITATIONS = { each: 50, all: 1_000 } as const;

/** The form in the snapshot. */
export interface SessionInvitation {
  readonly id: string;
  readonly session: string;
  readonly user: string;
  readonly mode: InvitedMode;
  readonly reason: string;
  /** The inviter, with the roles and traits on which the permission rests. */
  readonly by: string;
  readonly roles: readonly string[];
  readonly traits: Traits;
  /** Since when data under the inviter's name is theirs, ms since 1970; null: always. */
  readonly since: number | null;
  /** ms since 1970. */
  readonly expires_at: number;
}

const invitationStates = ['open', 'used', 'revoked', 'over'] as const;

export const sessionInvitationView = record({
  id: z.string(),
  state: z.enum(invitationStates),
  session: z.string(),
  session_user: z.string(),
  node: z.string(),
  login: z.string(),
  user: z.string(),
  mode: z.enum(invitedModes),
  reason: z.string(),
  by: z.string(),
  created_at: z.int(),
  expires_at: z.int(),
  used_at: z.int().nullable(),
  /** Address of the page with instructions for the invited user. */
  link: z.string(),
});
export type SessionInvitationView = z.output<typeof sessionInvitationView>;
