/**
 * Parts common to messages of all webhooks, by format: Slack's Block Kit for incoming webhooks; Jira Cloud's REST v3
 * (`POST /rest/api/3/issue` and `…/comment`, text in the Atlassian Document Format); JSON of our own, docs/access-requests.md.
 *
 * User-written text goes into plain text fields, cut to the receiver's limits: it cannot mention a channel, link or format. Tested in
 * messages.test.ts and in the tests of the messages.
 */
import { createHmac } from 'node:crypto';
import type { JiraWebhook } from '#schemas/documents/webhook.js';

export interface Outgoing {
  /** Appended to the webhook's address. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const json = { 'content-type': 'application/json; charset=utf-8' };

/** ` on login@node` for the end of a headline; empty if no node is involved. */
export function onNode({ login, node }: { readonly login: string; readonly node: string }): string {
  return node === '' ? '' : ` on ${nodeText({ login, node })}`;
}

export function nodeText({ login, node }: { readonly login: string; readonly node: string }): string {
  return login === '' ? node : `${login}@${node}`;
}

export function plainText(text: string, most: number): object {
  return { type: 'plain_text', text: cut(text, most), emoji: false };
}

/** `headline`: one sentence with the essentials, for notifications. */
export function slackPost(headline: string, blocks: readonly object[]): Outgoing {
  return { path: '', headers: json, body: JSON.stringify({ text: escapeSlack(cut(headline, 1000)), blocks }) };
}

/** Slack always parses a message's `text` as markup: escaping these three characters disables links and mentions. */
function escapeSlack(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

export interface NewIssue {
  /** Added to the label `steno`. */
  readonly label: string;
  readonly summary: string;
  /** One paragraph each. */
  readonly lines: readonly string[];
}

export function newIssue(webhook: JiraWebhook, token: string, { label, summary, lines }: NewIssue): Outgoing {
  return {
    path: '/rest/api/3/issue',
    headers: jiraHeaders(webhook, token),
    body: JSON.stringify({
      fields: {
        project: { key: webhook.project },
        issuetype: { name: webhook.issue_type },
        labels: ['steno', label],
        summary: cut(summary.replace(/\s+/g, ' '), 255),
        description: jiraDocument(lines),
      },
    }),
  };
}

export function jiraHeaders({ email }: JiraWebhook, token: string): Outgoing['headers'] {
  return { ...json, accept: 'application/json', authorization: `Basic ${Buffer.from(`${email}:${token}`).toString('base64')}` };
}

/** Paragraphs in the Atlassian Document Format; a text node is never markup. */
export function jiraDocument(lines: readonly string[]): object {
  return {
    type: 'doc',
    version: 1,
    content: lines.map((line) => ({ type: 'paragraph', content: [{ type: 'text', text: cut(line, 3000) }] })),
  };
}

/** `delivery`: the same for every attempt to send this message. `now`: ms since 1970. */
export function signedJson(content: object, delivery: string, secret: string, now: number): Outgoing {
  const body = JSON.stringify(content);
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

/** Cut by code points: half a surrogate pair is not text. */
function cut(text: string, most: number): string {
  const points = [...text];
  return text.length <= most
    ? text
    : `${points.slice(0, most / 2 < points.length && text.length > points.length ? Math.floor(most / 2) - 1 : most - 1).join('')}…`;
}
