/**
 * Webhook messages about an invitation into a live session, by format. Pure; text of users is plain and cut. The link is not secret:
 * the invitation is valid for its user only. Tested in invitation-messages.test.ts.
 */
import type { SessionInvitationView } from '#schemas/documents/session-invitation.js';
import type { JiraWebhook } from '#schemas/documents/webhook.js';
import { newIssue, plainText, signedJson, slackPost } from './formats.js';
import type { Outgoing } from './formats.js';

function invitationHeadline({ by, user, mode, session_user: owner, login, node }: SessionInvitationView): string {
  return `${by} invites ${user} as ${mode} into the session of ${owner} (${login}@${node})`;
}

function facts({ id, reason, expires_at: until }: SessionInvitationView): readonly (readonly [string, string])[] {
  return [
    ['Why', reason],
    ['Until', new Date(until).toISOString()],
    ['In a terminal', `steno join ${id}`],
  ];
}

export function invitationSlack(invitation: SessionInvitationView): Outgoing {
  const blocks: object[] = [
    { type: 'section', text: plainText(invitationHeadline(invitation), 3000) },
    { type: 'section', fields: facts(invitation).map(([label, value]) => plainText(`${label}\n${value}`, 2000)) },
    {
      type: 'actions',
      block_id: 'steno-invitation',
      elements: [{ type: 'button', action_id: 'open', text: plainText('How to join', 75), url: invitation.link }],
    },
  ];
  return slackPost(invitationHeadline(invitation), blocks);
}

export function invitationIssue(webhook: JiraWebhook, token: string, invitation: SessionInvitationView): Outgoing {
  return newIssue(webhook, token, {
    label: 'steno-invitation',
    summary: `Invitation: ${invitationHeadline(invitation)}`,
    lines: [...facts(invitation).map(([label, value]) => `${label}: ${value}`), `Open: ${invitation.link}`],
  });
}

/** `delivery`: the same for every attempt to send this message. `now`: ms since 1970. */
export function invitationJson(invitation: SessionInvitationView, delivery: string, secret: string, now: number): Outgoing {
  return signedJson(
    { version: 1, event: 'session.invited', delivery, headline: invitationHeadline(invitation), invitation },
    delivery,
    secret,
    now,
  );
}
