import { expect, test } from 'vitest';
import { isWebhookTarget, webhookSchema } from './webhook.js';

test.each([
  ['https://hooks.example.com/services/T0/B0/x', true],
  ['https://jira.example.com', true],
  ['https://jira.example.com:8443/base', true],
  ['http://127.0.0.1:8080/x', true],
  ['http://[::1]:1/', true],
  ['http://localhost/', true],
  ['http://example.com/', false],
  ['https://user:pass@example.com/', false],
  ['https://example.com/?a=b', false],
  ['https://example.com/#a', false],
  ['ftp://example.com', false],
  ['file:///etc/passwd', false],
  ['http://127.0.0.1.example.com/', false],
  ['http://localhost@example.com/', false],
  ['https://example.com/a b', false],
  ['https://exa\nmple.com/', false],
  ['http://169.254.169.254/latest', false],
  ['//example.com', false],
  ['', false],
])('%j as a target: %s', (text, expected) => expect(isWebhookTarget(text)).toBe(expected));

const slack = { kind: 'webhook', name: 'chat', format: 'slack', url: { file: 'slack-url' } };
const jira = {
  kind: 'webhook',
  name: 'tickets',
  format: 'jira',
  url: 'https://x.example.com',
  email: 'bot@example.com',
  token: { env: 'STENO_SECRET_JIRA' },
  project: 'SEC',
};

test.each([
  ['Slack', slack],
  ['Slack with answers', { ...slack, signing_secret: { file: 's' }, users: { U1: 'ada' } }],
  ['Jira', jira],
  ['OCSF', { kind: 'webhook', name: 'o', format: 'ocsf', url: 'https://x.example.com/in', token: { file: 'k' } }],
  ['JSON', { kind: 'webhook', name: 'j', format: 'json', url: 'https://x.example.com/h', secret: { file: 'k' } }],
])('a webhook of %s is accepted', (_, document) => expect(webhookSchema.safeParse(document).error).toBeUndefined());

test.each([
  ['a secret in the document', { ...slack, signing_secret: 'shhh' }],
  ['a file elsewhere', { ...slack, url: { file: '../seal.key' } }],
  ['an absolute file', { ...slack, url: { file: '/etc/shadow' } }],
  ['a variable that is not for secrets of webhooks', { ...slack, url: { env: 'AWS_SECRET_ACCESS_KEY' } }],
  ['an unknown field', { ...slack, follow_redirects: true }],
  ['an unknown event', { ...slack, events: ['user.login'] }],
  ['an invalid user name', { ...slack, users: { U1: 'Ada L' } }],
  ['an invalid project key', { ...jira, project: 'sec/../x' }],
  ['an address with a colon, which would end the user name of basic authentication', { ...jira, email: 'a:b@example.com' }],
  ['no format', { kind: 'webhook', name: 'x' }],
])('a webhook with %s is refused', (_, document) => expect(webhookSchema.safeParse(document).success).toBe(false));
