import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import type { SessionInvitationView } from '#schemas/documents/session-invitation.js';
import { webhookSchema } from '#schemas/documents/webhook.js';
import type { JiraWebhook } from '#schemas/documents/webhook.js';
import { invitationIssue, invitationJson, invitationSlack } from './invitation-messages.js';

const invitation: SessionInvitationView = {
  ...{ id: 'i-0123456789abcdef', state: 'open', session: '01hf7yat0000000000000000ab', session_user: 'alice', node: 'web-1' },
  ...{ login: 'root', user: 'bob', mode: 'peer', reason: '<!channel> *look*', by: 'carol', created_at: 1, expires_at: 60_000 },
  ...{ used_at: null, link: 'https://steno.example/join/i-0123456789abcdef' },
};
const headline = 'carol invites bob as peer into the session of alice (root@web-1)';

test('Slack gets plain text and a button that opens the link', () => {
  const { body } = invitationSlack(invitation);
  const { text, blocks } = JSON.parse(body) as {
    text: string;
    blocks: { elements?: { url?: string }[]; fields?: { type: string; text: string }[] }[];
  };
  expect(text).toBe(headline);
  expect(blocks.flatMap(({ fields = [] }) => fields)).toContainEqual({ type: 'plain_text', text: 'Why\n<!channel> *look*', emoji: false });
  expect(blocks.flatMap(({ elements = [] }) => elements.map(({ url }) => url))).toEqual([invitation.link]);
});

test('Jira gets an issue', () => {
  const webhook = webhookSchema.parse({
    ...{ kind: 'webhook', name: 'j', format: 'jira', url: 'https://x.example', email: 'a@b.c', token: { file: 't' }, project: 'SEC' },
  }) as JiraWebhook;
  const { path, body } = invitationIssue(webhook, 'token', invitation);
  expect(path).toBe('/rest/api/3/issue');
  expect(JSON.parse(body)).toMatchObject({ fields: { project: { key: 'SEC' }, summary: `Invitation: ${headline}` } });
  expect(body).toContain('steno join i-0123456789abcdef');
});

test('JSON is signed and carries the invitation', () => {
  const { body, headers } = invitationJson(invitation, '7', 'key', 5_000);
  expect(JSON.parse(body)).toEqual({ version: 1, event: 'session.invited', delivery: '7', headline, invitation });
  expect(headers['steno-signature']).toBe(`t=5,v1=${createHmac('sha256', 'key').update(`5.${body}`).digest('hex')}`);
});
