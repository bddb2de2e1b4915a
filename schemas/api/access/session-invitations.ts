/** Invitations into live sessions: `steno invite`, and the page that a link leads to, for which a viewer relays. */
import { z } from 'zod';
import { INVITATION_MS, invitedModes, sessionInvitationView } from '../../documents/session-invitation.js';
import { emptyBody, endpoint, noBody, noParams, relayedSignedIn } from '../../endpoint/endpoint.js';
import { list, name } from '../../endpoint/fields.js';
import { sessionIdPattern } from '../../events/rows.js';

/** Any text is accepted, so that an invalid id is answered like an unknown one. */
const params = z.strictObject({ name: z.string() });

export const createInvitation = endpoint({
  method: 'POST',
  path: '/v1/session-invitations',
  summary: 'Invite a user into a live session.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'session_invitation.create',
  params: noParams,
  body: z.strictObject({
    session: z.string().regex(sessionIdPattern),
    user: name,
    mode: z.enum(invitedModes),
    /** ms. */
    duration: z.int().min(INVITATION_MS.least).max(INVITATION_MS.most),
    /** One line, because terminals show it. */
    reason: z
      .string()
      .max(300)
      .regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, 'is not one line of plain text')
      .refine((text) => text.trim() !== '', 'say why'),
  }),
  answer: sessionInvitationView,
  errors: ['SESSION_NOT_LIVE', 'NOT_FOUND', 'TOO_MANY', 'LOGIN_TOO_OLD'],
});

export const listInvitations = endpoint({
  method: 'GET',
  path: '/v1/session-invitations',
  summary: 'List invitations by and for the caller, newest first; everybody’s for users who may see locks.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'session_invitation.list',
  params: noParams,
  body: noBody,
  answer: list(sessionInvitationView),
  errors: [],
});

export const showInvitation = endpoint({
  method: 'GET',
  path: '/v1/session-invitations/:name',
  summary: 'Show an invitation by or for the caller.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'session_invitation.show',
  params,
  body: noBody,
  answer: sessionInvitationView,
  errors: ['NOT_FOUND', 'SESSION_INVITATION_FOREIGN'],
});

export const revokeInvitation = endpoint({
  method: 'POST',
  path: '/v1/session-invitations/:name/revoke',
  summary: 'Revoke an invitation by or for the caller, or anybody’s for users who may lock; participants who joined by it must leave.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'session_invitation.revoke',
  params,
  body: emptyBody,
  answer: sessionInvitationView,
  errors: ['NOT_FOUND', 'SESSION_INVITATION_FOREIGN', 'SESSION_INVITATION_OVER'],
});

export const sessionInvitationEndpoints = [createInvitation, listInvitations, showInvitation, revokeInvitation] as const;
