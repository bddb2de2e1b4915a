import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import { webhookSchema } from '#schemas/documents/webhook.js';
import type { JiraWebhook } from '#schemas/documents/webhook.js';
import { headline, jiraComment, jiraIssue, jsonMessage, slackMessage } from './messages.js';

const request: AccessRequest = {
  id: 'r-abc23456',
  user: 'dan',
  state: 'pending',
  reason: 'INC-7 <!channel> *now* & `then`',
  items: [{ kind: 'role', role: 'dba' }],
  created_at: 1_763_800_000_000,
  expires_at: 1_763_886_400_000,
  duration: 7_200_000,
  decided_at: null,
  ends_at: null,
  thresholds: { approve: 2, deny: 1 },
  revisions: { dba: 3 },
  changed: [],
  reviews: [{ reviewer: 'lena', decision: 'approve', reason: 'fine', at: 1_763_800_100_000, via: 'chat' }],
};
const plain = (text: string): object => ({ type: 'plain_text', text, emoji: false });

describe('Slack gets', () => {
  test('a message in Block Kit, all that people wrote in plain text, with buttons where answers are taken', () => {
    const { body, headers, path } = slackMessage('request.create', request, true);
    expect([path, headers]).toEqual(['', { 'content-type': 'application/json; charset=utf-8' }]);
    expect(JSON.parse(body)).toEqual({
      text: 'dan asks for role dba',
      blocks: [
        { type: 'header', text: plain('Access request r-abc23456') },
        { type: 'section', text: plain('dan asks for role dba') },
        { type: 'section', fields: [plain('Who\ndan'), plain('What\nrole dba'), plain('For how long\n2h'), plain('Approvals\n1 of 2')] },
        { type: 'section', text: plain('Why\nINC-7 <!channel> *now* & `then`') },
        { type: 'context', elements: [plain('lena: approve (fine)')] },
        {
          type: 'actions',
          block_id: 'steno-request',
          elements: [
            { type: 'button', action_id: 'approve', style: 'primary', text: plain('Approve'), value: 'r-abc23456' },
            { type: 'button', action_id: 'deny', style: 'danger', text: plain('Deny'), value: 'r-abc23456' },
          ],
        },
      ],
    });
  });
  test('no buttons for what is decided, or where no answer is taken', () => {
    for (const { body } of [slackMessage('request.create', request, false), slackMessage('request.approved', request, true)])
      expect(body).not.toContain('"actions"');
  });
  test('texts as long as it takes them, whatever was written', () => {
    const long = slackMessage('request.create', { ...request, reason: '🙂'.repeat(5_000) }, true);
    const { blocks } = JSON.parse(long.body) as { blocks: { text?: { text: string } }[] };
    for (const { text } of blocks) expect((text?.text ?? '').length).toBeLessThanOrEqual(3000);
    expect(long.body).not.toMatch(/\\ud83d(?!\\ude42)/);
  });
});

describe('Jira gets', () => {
  const webhook = webhookSchema.parse({
    kind: 'webhook',
    name: 'tickets',
    format: 'jira',
    url: 'https://x.example.com',
    email: 'bot@example.com',
    token: { env: 'STENO_SECRET_J' },
    project: 'SEC',
  }) as JiraWebhook;
  const paragraph = (text: string): object => ({ type: 'paragraph', content: [{ type: 'text', text }] });
  test('an issue, as its REST interface of version 3 takes it', () => {
    const { path, headers, body } = jiraIssue(webhook, 'tok', request);
    expect(path).toBe('/rest/api/3/issue');
    expect(headers).toEqual({
      'content-type': 'application/json; charset=utf-8',
      accept: 'application/json',
      authorization: `Basic ${Buffer.from('bot@example.com:tok').toString('base64')}`,
    });
    expect(JSON.parse(body)).toEqual({
      fields: {
        project: { key: 'SEC' },
        issuetype: { name: 'Task' },
        labels: ['steno', 'r-abc23456'],
        summary: 'Access request r-abc23456: dan asks for role dba',
        description: {
          type: 'doc',
          version: 1,
          content: [
            paragraph('Who: dan'),
            paragraph('What: role dba'),
            paragraph('For how long: 2h'),
            paragraph('Approvals: 1 of 2'),
            paragraph('Why: INC-7 <!channel> *now* & `then`'),
            paragraph('Move this issue to Approved to approve, to Declined to deny; or run: steno request show r-abc23456'),
          ],
        },
      },
    });
  });
  test('a comment for what happens later', () => {
    const { path, body } = jiraComment(webhook, 'tok', 'SEC-12', 'request.approved', request);
    expect(path).toBe('/rest/api/3/issue/SEC-12/comment');
    expect(JSON.parse(body)).toEqual({
      body: {
        type: 'doc',
        version: 1,
        content: [paragraph('The request of dan for role dba is approved'), paragraph('lena: approve (fine)')],
      },
    });
  });
});

test('JSON is signed over its time and its bytes, and says the same delivery each time', () => {
  const { headers, body } = jsonMessage('request.create', request, '17', 'secret', 1_763_800_000_500);
  expect(JSON.parse(body)).toEqual({ version: 1, event: 'request.create', delivery: '17', headline: 'dan asks for role dba', request });
  expect(headers['steno-delivery']).toBe('17');
  expect(headers['steno-signature']).toBe(`t=1763800000,v1=${createHmac('sha256', 'secret').update(`1763800000.${body}`).digest('hex')}`);
});

test('each event has its sentence', () => {
  const events = ['request.create', 'request.approved', 'request.denied', 'request.cancelled', 'request.expired', 'request.over'] as const;
  expect(new Set(events.map((event) => headline(event, request))).size).toBe(events.length);
});
