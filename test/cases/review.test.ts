/** The after-action review as a file: its content, the parts that it withholds from each user, and the absence of foreign markup. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CaseHead } from '#schemas/api/cases/cases.js';
import { Cleanup } from '../../authority/testing/authority.js';
import type { Enrolled } from '../../authority/testing/people.js';
import { escaped } from '../../viewer/api/cases/review-html.js';
import { markdownText } from '../../viewer/api/cases/review-markdown.js';
import { record } from '../../viewer/api/testing/recorded.js';
import type { Recorded } from '../../viewer/api/testing/recorded.js';
import { openScene } from './scene.js';
import type { Scene } from './scene.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const hostile = '<script>alert(1)</script> [x](javascript:alert(1)) ``` | # \u202e "onload=\'';
let scene: Scene;
let lead: Enrolled;
let looker: Enrolled;
let session: Recorded;
let id: string;

beforeAll(async () => {
  scene = await openScene(cleanup);
  const rules = [{ resources: ['case', 'note'], verbs: ['read', 'create', 'update'] }];
  await scene.role('lead', { view: 'all', allow: { rules } });
  await scene.role('looker', { view: 'none', allow: { rules, sessions: [{ actions: ['list', 'view'] }] } });
  lead = await scene.enrol('lena', 'lead');
  looker = await scene.enrol('lou', 'looker');
  session = await record(scene.stores, {
    ...{ user: 'alice', startedAt: Date.UTC(2026, 4, 3, 9), state: 'sealed', cols: 60, rows: 5 },
    lines: [
      [0, { code: 'o', data: '\x1b[1;31mroot#\x1b[0m cat /etc/shadow\r\n' }],
      [2000, { code: 'o', data: `${hostile}\r\n` }],
      [9000, { code: 'o', data: 'not yet on the screen\r\n' }],
    ],
  });
  ({ id } = (await scene.call<CaseHead>(lead, 'POST', '/api/cases', { title: `Case ${hostile}`, summary: `one\n${hostile}` })).body);
  const items = [{ kind: 'moment', session: session.id, offset: 3000, note: hostile }];
  await scene.call(lead, 'POST', `/api/cases/${id}/items`, { items });
  await scene.note(lead, { session: session.id, offset: 500, text: hostile });
}, 60_000);

const review = async (who: Enrolled, format: string): Promise<string> => {
  const { status, text } = await scene.call(who, 'GET', `/api/cases/${id}/review?format=${format}`);
  expect(status).toBe(200);
  return text;
};

test('the page has the screen at each moment in its colours, and no markup but its own', async () => {
  const html = await review(lead, 'html');
  const pictures = [...html.matchAll(/<pre>([^]*?)<\/pre>/g)].map(([, content]) => content!);
  expect(pictures).toHaveLength(2);
  expect(pictures[0]).toContain('cat /etc/shadow');
  expect(pictures[0]).not.toContain('alert(1)');
  expect(pictures[1]).toContain('<span style="color:#e5604f;font-weight:700">root#</span>');
  expect(pictures[1]).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
  expect(html).not.toContain('not yet on the screen');
  expect(html).toContain("default-src 'none'");
  expect(new Set([...html.matchAll(/<\/?([a-z0-9]+)/gi)].map(([, name]) => name))).toEqual(
    new Set([
      'html',
      'head',
      'meta',
      'title',
      'style',
      'body',
      'h1',
      'dl',
      'dt',
      'dd',
      'p',
      'ol',
      'li',
      'h2',
      'pre',
      'span',
      'footer',
      'code',
    ]),
  );
  expect(html).not.toMatch(/[\u202e]/);
  expect(html.replace(/<style>[^]*?<\/style>/, '')).not.toMatch(/<[^>]*\son\w+=/i);
});

test('Markdown has the same content, in fences that no screen can close, without links or HTML', async () => {
  const text = await review(lead, 'md');
  expect(text).toContain('root# cat /etc/shadow');
  const outside = text.replace(/^(`{3,})text\n[^]*?\n\1$/gm, '');
  expect(outside).not.toMatch(/<script|\]\(javascript|\u202e/);
  expect(outside).toContain('&lt;script&gt;');
  expect(text).toMatch(/^`{4,}text$/m);
});

test('a user who may view a session but not export it gets the text without the screens, and the audit log records it', async () => {
  const html = await review(looker, 'html');
  expect(html).not.toContain('<pre>');
  expect(html).toContain('No picture: the roles of who made this export do not let them export this session.');
  const rows = (await scene.world.audit()).filter(({ event }) => event === 'recording.export');
  expect(rows).toContainEqual(expect.objectContaining({ actor: 'lena', session: session.id, outcome: 'success' }));
  expect(rows).toContainEqual(expect.objectContaining({ actor: 'lou', session: session.id, outcome: 'failure', code: 'ACCESS_DENIED' }));
});

test('pictures for a user whose role asks for a watermark carry it', async () => {
  await scene.role('marked', {
    view: 'all',
    watermark: { where: "session.user == 'alice'" },
    allow: { rules: [{ resources: ['case'], verbs: ['read'] }] },
  });
  const mark = await scene.enrol('mara', 'marked');
  const html = await review(mark, 'html');
  expect([...html.matchAll(/<div class="marked"><pre>/g)]).toHaveLength([...html.matchAll(/<pre>/g)].length);
  expect(html).toMatch(/fill-opacity="[\d.]+">mara, \d{4}-\d\d-\d\d \d\d:\d\d UTC<\/text>/);
  expect(await review(mark, 'md')).toMatch(/Viewed by mara, \d{4}\\-\d\d\\-\d\d \d\d\\:\d\d UTC/);
  expect(await review(lead, 'html')).not.toContain('class="marked"');
});

test.each([
  ['html', escaped, (text: string) => !/[<>"'\u202e]/.test(text)],
  ['Markdown', markdownText, (text: string) => !/[<>\n\u202e]/.test(text) && !/(^|[^\\])[`[\]()|#*_]/.test(text)],
] as const)('text escaped for %s has no character with a special meaning', (_, escape, harmless) => {
  for (const text of [hostile, '\u0000\u001b[2J', '&amp;<', 'a\r\n# b', '\\`', '[a]: b', '~~~', '*_*'])
    expect(harmless(escape(text)), text).toBe(true);
});
