/** Webhook messages about access requests, by format (formats.ts). Pure. Tested in messages.test.ts. */
import { describeItem } from '#schemas/documents/access-request.js';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import { formatDuration } from '#schemas/base/duration.js';
import type { JiraWebhook, RequestEvent } from '#schemas/documents/webhook.js';
import { jiraDocument, jiraHeaders, newIssue, plainText, signedJson, slackPost } from './formats.js';
import type { Outgoing } from './formats.js';

/** One sentence with the essentials, for notifications and titles. */
export function headline(event: RequestEvent, request: AccessRequest): string {
  const what = request.items.map(describeItem).join('; ');
  switch (event) {
    case 'request.create':
      return `${request.user} asks for ${what}`;
    case 'request.approved':
      return `The request of ${request.user} for ${what} is approved`;
    case 'request.denied':
      return `The request of ${request.user} for ${what} is denied`;
    case 'request.cancelled':
      return `The request of ${request.user} for ${what} is cancelled`;
    case 'request.expired':
      return `Nobody decided the request of ${request.user} for ${what} in time`;
    case 'request.over':
      return `The time of ${request.user} with ${what} is over`;
  }
}

function facts(request: AccessRequest): readonly (readonly [string, string])[] {
  const approvals = request.reviews.filter(({ decision }) => decision === 'approve').length;
  return [
    ['Who', request.user],
    ['What', request.items.map(describeItem).join('\n')],
    ['For how long', formatDuration(request.duration)],
    ['Approvals', `${approvals} of ${request.thresholds.approve}`],
  ];
}

/** `buttons`: whether callbacks are configured. */
export function slackMessage(event: RequestEvent, request: AccessRequest, buttons: boolean): Outgoing {
  const button = (action: 'approve' | 'deny', style: string, label: string): object => ({
    type: 'button',
    action_id: action,
    style,
    text: plainText(label, 75),
    value: request.id,
  });
  const blocks: object[] = [
    { type: 'header', text: plainText(`Access request ${request.id}`, 150) },
    { type: 'section', text: plainText(headline(event, request), 3000) },
    { type: 'section', fields: facts(request).map(([label, value]) => plainText(`${label}\n${value}`, 2000)) },
    { type: 'section', text: plainText(`Why\n${request.reason}`, 3000) },
  ];
  if (request.reviews.length > 0)
    blocks.push({
      type: 'context',
      elements: [
        plainText(
          request.reviews
            .map((review) => `${review.reviewer}: ${review.decision}${review.reason === '' ? '' : ` (${review.reason})`}`)
            .join('\n'),
          2000,
        ),
      ],
    });
  if (event === 'request.create' && buttons) {
    blocks.push({
      type: 'actions',
      block_id: 'steno-request',
      elements: [button('approve', 'primary', 'Approve'), button('deny', 'danger', 'Deny')],
    });
  }
  return slackPost(headline(event, request), blocks);
}

export function jiraIssue(webhook: JiraWebhook, token: string, request: AccessRequest): Outgoing {
  return newIssue(webhook, token, {
    label: request.id,
    summary: `Access request ${request.id}: ${headline('request.create', request)}`,
    lines: [
      ...facts(request).map(([label, value]) => `${label}: ${value}`),
      `Why: ${request.reason}`,
      `Move this issue to ${webhook.approve_status} to approve, to ${webhook.deny_status} to deny; or run: steno request show ${request.id}`,
    ],
  });
}

export function jiraComment(webhook: JiraWebhook, token: string, key: string, event: RequestEvent, request: AccessRequest): Outgoing {
  const reviews = request.reviews.map(
    (review) => `${review.reviewer}: ${review.decision}${review.reason === '' ? '' : ` (${review.reason})`}`,
  );
  return {
    path: `/rest/api/3/issue/${encodeURIComponent(key)}/comment`,
    headers: jiraHeaders(webhook, token),
    body: JSON.stringify({ body: jiraDocument([headline(event, request), ...reviews]) }),
  };
}

/** `delivery`: the same for every attempt to send this message. `now`: ms since 1970. */
export function jsonMessage(event: RequestEvent, request: AccessRequest, delivery: string, secret: string, now: number): Outgoing {
  return signedJson({ version: 1, event, delivery, headline: headline(event, request), request }, delivery, secret, now);
}
