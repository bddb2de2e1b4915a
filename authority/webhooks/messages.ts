/**
 * What webhooks are sent, by format. Pure: a request, an event, and what to send where.
 *
 * Formats: Slack's Block Kit for incoming webhooks; Jira Cloud's REST v3 (`POST /rest/api/3/issue` and `…/comment`, text
 * in the Atlassian Document Format); JSON of our own, docs/access-requests.md. Whatever people wrote goes into fields of
 * plain text, cut to what the other side takes: it cannot mention a channel, link or format. Tested in messages.test.ts.
 */
import { createHmac } from 'node:crypto';
import { describeItem } from '#schemas/documents/access-request.js';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import { formatDuration } from '#schemas/base/duration.js';
import type { JiraWebhook, WebhookEvent } from '#schemas/documents/webhook.js';

export interface Outgoing {
  /** Appended to the webhook's address. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const json = { 'content-type': 'application/json; charset=utf-8' };

/** A sentence that says it all, for notifications and titles. */
export function headline(event: WebhookEvent, request: AccessRequest): string {
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

/** `buttons`: whether answers can come back. */
export function slackMessage(event: WebhookEvent, request: AccessRequest, buttons: boolean): Outgoing {
  const plain = (text: string, most: number): object => ({ type: 'plain_text', text: cut(text, most), emoji: false });
  const button = (action: 'approve' | 'deny', style: string, label: string): object => ({
    type: 'button',
    action_id: action,
    style,
    text: plain(label, 75),
    value: request.id,
  });
  const blocks: object[] = [
    { type: 'header', text: plain(`Access request ${request.id}`, 150) },
    { type: 'section', text: plain(headline(event, request), 3000) },
    { type: 'section', fields: facts(request).map(([label, value]) => plain(`${label}\n${value}`, 2000)) },
    { type: 'section', text: plain(`Why\n${request.reason}`, 3000) },
  ];
  if (request.reviews.length > 0)
    blocks.push({
      type: 'context',
      elements: [
        plain(
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
  return { path: '', headers: json, body: JSON.stringify({ text: escapeSlack(cut(headline(event, request), 1000)), blocks }) };
}

/** `text` of a message is the one field that Slack always reads as markup: these three signs begin all of it that links or mentions. */
function escapeSlack(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

export function jiraIssue(webhook: JiraWebhook, token: string, request: AccessRequest): Outgoing {
  return {
    path: '/rest/api/3/issue',
    headers: jiraHeaders(webhook, token),
    body: JSON.stringify({
      fields: {
        project: { key: webhook.project },
        issuetype: { name: webhook.issue_type },
        labels: ['steno', request.id],
        summary: cut(`Access request ${request.id}: ${headline('request.create', request)}`.replace(/\s+/g, ' '), 255),
        description: document([
          ...facts(request).map(([label, value]) => `${label}: ${value}`),
          `Why: ${request.reason}`,
          `Move this issue to ${webhook.approve_status} to approve, to ${webhook.deny_status} to deny; or run: steno request show ${request.id}`,
        ]),
      },
    }),
  };
}

export function jiraComment(webhook: JiraWebhook, token: string, key: string, event: WebhookEvent, request: AccessRequest): Outgoing {
  const reviews = request.reviews.map(
    (review) => `${review.reviewer}: ${review.decision}${review.reason === '' ? '' : ` (${review.reason})`}`,
  );
  return {
    path: `/rest/api/3/issue/${encodeURIComponent(key)}/comment`,
    headers: jiraHeaders(webhook, token),
    body: JSON.stringify({ body: document([headline(event, request), ...reviews]) }),
  };
}

function jiraHeaders({ email }: JiraWebhook, token: string): Outgoing['headers'] {
  return { ...json, accept: 'application/json', authorization: `Basic ${Buffer.from(`${email}:${token}`).toString('base64')}` };
}

/** Paragraphs in the Atlassian Document Format; a text node is never markup. */
function document(lines: readonly string[]): object {
  return {
    type: 'doc',
    version: 1,
    content: lines.map((line) => ({ type: 'paragraph', content: [{ type: 'text', text: cut(line, 3000) }] })),
  };
}

/** `delivery`: the same for every attempt to send this one. `now`: ms since 1970. */
export function jsonMessage(event: WebhookEvent, request: AccessRequest, delivery: string, secret: string, now: number): Outgoing {
  const body = JSON.stringify({ version: 1, event, delivery, headline: headline(event, request), request });
  return {
    path: '',
    headers: { ...json, 'steno-delivery': delivery, 'steno-signature': signature(secret, Math.floor(now / 1000), body) },
    body,
  };
}

/** `t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a full stop and the body. */
export function signature(secret: string, seconds: number, body: string | Uint8Array): string {
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.`).update(body).digest('hex')}`;
}

/** By code points: half of a pair of surrogates is no text. */
function cut(text: string, most: number): string {
  const points = [...text];
  return text.length <= most
    ? text
    : `${points.slice(0, most / 2 < points.length && text.length > points.length ? Math.floor(most / 2) - 1 : most - 1).join('')}…`;
}
