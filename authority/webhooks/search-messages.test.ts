import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SearchHitNotice } from '#schemas/api/cases/saved-searches.js';
import { webhookSchema } from '#schemas/documents/webhook.js';
import type { JiraWebhook } from '#schemas/documents/webhook.js';
import { searchKinds } from '#schemas/search/fields.js';
import { hitLink, searchIssue, searchJson, searchSlack } from './search-messages.js';

const web = 'https://steno.example';
const jira = webhookSchema.parse({
  ...{ kind: 'webhook', name: 'j', format: 'jira', url: 'https://x.example', email: 'a@b.c', token: { file: 't' }, project: 'SEC' },
}) as JiraWebhook;
const hostile = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 200 }),
  fc.constantFrom('<!channel>', '<https://x|y>', '*b* @here', '\u202e'),
);
const hit = fc.record({
  ...{ kind: fc.constantFrom(...searchKinds), at: fc.integer({ min: 0, max: 4_102_444_800_000 }), time: fc.option(fc.nat()) },
  ...{ session: fc.constantFrom('', '01jdv3k5m8q2w7x9y4z6a0b1c2'), user: hostile, node: hostile, login: hostile },
});
const notice: fc.Arbitrary<SearchHitNotice> = fc.record({
  search: fc.record({
    id: fc.constant('q-000000000000'),
    name: hostile,
    owner: hostile,
    query: fc.string({ unit: 'grapheme', maxLength: 1000 }),
  }),
  count: fc.nat(),
  hits: fc.array(hit, { maxLength: 20 }),
});

test('whatever names say, Slack gets plain text within its limits, and nothing that mentions', () => {
  fc.assert(
    fc.property(notice, (one) => {
      const { text, blocks } = JSON.parse(searchSlack(one, web).body) as { text: string; blocks: Record<string, unknown>[] };
      expect(text).not.toMatch(/[<>]/);
      const [head, body, acts] = blocks as [
        { text: { type: string; text: string } },
        { text: { type: string; text: string } },
        { elements: { url: string }[] },
      ];
      for (const [{ text: said }, most] of [
        [head, 150],
        [body, 3000],
      ] as const) {
        expect(said.type).toBe('plain_text');
        expect(said.text.length).toBeLessThanOrEqual(most);
      }
      for (const { url } of acts.elements) {
        expect(url.startsWith(web)).toBe(true);
        expect(url.length).toBeLessThanOrEqual(3000);
      }
    }),
  );
});

test('Jira gets paragraphs of text and a summary on one line', () => {
  fc.assert(
    fc.property(notice, (one) => {
      const { fields } = JSON.parse(searchIssue(jira, 'token', one, web).body) as {
        fields: { summary: string; description: { content: { content: { type: string; marks?: unknown }[] }[] } };
      };
      expect(fields.summary).not.toMatch(/[\r\n]/);
      expect([...fields.summary].length).toBeLessThanOrEqual(255);
      for (const { content } of fields.description.content)
        for (const { type, marks } of content) expect([type, marks]).toEqual(['text', undefined]);
    }),
  );
});

test('a receiver checks the signature of the JSON, and follows a link to the moment', () => {
  const at = Date.UTC(2026, 4, 3);
  const one = { kind: 'screen', at, time: 412, session: '01jdv3k5m8q2w7x9y4z6a0b1c2', user: 'u', node: 'n', login: 'l' } as const;
  const search = { id: 'q-000000000000', name: 'n', owner: 'o', query: 'a b' };
  const { headers, body } = searchJson({ search, count: 1, hits: [one] }, web, '7', 'secret', 1_000);
  expect(headers['steno-signature']).toBe(`t=1,v1=${createHmac('sha256', 'secret').update(`1.${body}`).digest('hex')}`);
  expect(JSON.parse(body)).toMatchObject({
    ...{ version: 1, event: 'search.hit', delivery: '7', link: `${web}/search?q=a%20b`, count: 1, search },
    hits: [{ ...one, link: `${web}/sessions/${one.session}?t=412` }],
  });
  expect(hitLink({ ...one, session: '' }, web)).toBeNull();
});
