import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AnnouncedFinding } from '#schemas/api/detection/suppressions.js';
import { severities } from '#schemas/events/rows.js';
import { webhookSchema } from '#schemas/documents/webhook.js';
import type { JiraWebhook } from '#schemas/documents/webhook.js';
import { findingIssue, findingJson, findingLink, findingSlack } from './finding-messages.js';

const web = 'https://steno.example';
const jira = webhookSchema.parse({
  ...{ kind: 'webhook', name: 'j', format: 'jira', url: 'https://x.example', email: 'a@b.c', token: { file: 't' }, project: 'SEC' },
}) as JiraWebhook;
const hostile = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 200 }),
  fc.constantFrom('<!channel>', '<https://x|y>', '*b* @here', '\u202e'),
);
const finding: fc.Arbitrary<AnnouncedFinding> = fc.record({
  ...{ id: fc.constant('f1'), rule: hostile, rule_version: fc.nat(), severity: fc.constantFrom(...severities) },
  ...{ techniques: fc.array(fc.constant('T1059'), { maxLength: 64 }), session: fc.constantFrom('', '01jdv3k5m8q2w7x9y4z6a0b1c2') },
  ...{ user: hostile, node: hostile, login: hostile, at: fc.integer({ min: 0, max: 4_102_444_800_000 }) },
  ...{
    offset_ms: fc.option(fc.nat()),
    title: hostile,
    reason: fc.string({ maxLength: 2048 }),
    advice: fc.string({ maxLength: 2048 }),
    tier: hostile,
  },
});

test('whatever a finding says, Slack gets it as plain text within its limits, and nothing that mentions or links', () => {
  fc.assert(
    fc.property(finding, (one) => {
      const { text, blocks } = JSON.parse(findingSlack(one, web).body) as { text: string; blocks: Record<string, unknown>[] };
      expect(text).not.toMatch(/[<>]/);
      const seen = JSON.stringify(blocks);
      expect(seen).not.toContain('mrkdwn');
      const walk = (value: unknown): void => {
        if (typeof value !== 'object' || value === null) return;
        const { type, text: said } = value as { type?: unknown; text?: unknown };
        if (type === 'plain_text') expect((said as string).length).toBeLessThanOrEqual(3000);
        Object.values(value).forEach(walk);
      };
      walk(blocks);
      expect(blocks[0]).toMatchObject({ type: 'header' });
      expect(((blocks[0] as { text: { text: string } }).text.text as string).length).toBeLessThanOrEqual(150);
    }),
  );
});

test('whatever a finding says, Jira gets a summary of one line and text without markup', () => {
  fc.assert(
    fc.property(finding, (one) => {
      const { fields } = JSON.parse(findingIssue(jira, 't', one, web).body) as {
        fields: { summary: string; description: { content: { content: { type: string }[] }[] } };
      };
      expect(fields.summary.length).toBeLessThanOrEqual(255);
      expect(fields.summary).not.toMatch(/\n/);
      for (const { content } of fields.description.content) expect(content.map(({ type }) => type)).toEqual(['text']);
    }),
  );
});

test('JSON is signed over the bytes that are sent, and its link opens the moment', () => {
  fc.assert(
    fc.property(finding, (one) => {
      const { body, headers } = findingJson(one, web, '17', 'key', 1_700_000_000_999);
      expect(headers['steno-signature']).toBe(`t=1700000000,v1=${createHmac('sha256', 'key').update(`1700000000.${body}`).digest('hex')}`);
      expect(JSON.parse(body)).toMatchObject({ version: 1, event: 'finding.new', delivery: '17', finding: { id: 'f1' } });
      const url = new URL(findingLink(one, web));
      expect(url.pathname).toBe(one.session === '' ? '/findings' : `/sessions/${one.session}`);
      expect(url.searchParams.get('t')).toBe(one.session === '' || one.offset_ms === null ? null : String(one.offset_ms));
    }),
  );
});
