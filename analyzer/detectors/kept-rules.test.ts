import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Send } from '#schemas/endpoint/endpoint.js';
import { bookOf, readKeptRules } from './kept-rules.js';
import type { KeptRule } from './kept-rules.js';

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const sigma = (n: number, image = '/usr/bin/cat'): string =>
  `title: Rule ${n}\nid: ${uuid(n)}\nstatus: test\nlevel: high\nlogsource:\n  product: linux\n  category: process_creation\ndetection:\n  selection:\n    Image: ${image}\n  condition: selection\n`;
const kept = (n: number, text = sigma(n)): KeptRule => ({ id: uuid(n), version: n, text });
const stateOf = (reports: ReturnType<typeof bookOf>['reports'], n: number): string | undefined =>
  reports.find(({ id }) => id === uuid(n))?.state;

test('rules of files and of the authority are one set; each of the authority says what became of it', () => {
  const lacking = sigma(3).replace('Image: /usr/bin/cat', 'NoSuchField: x');
  const { set, versions, reports } = bookOf([{ name: 'a.yml', text: sigma(1) }], [kept(2), kept(3, lacking)]);
  expect(set.evaluable.map(({ rule }) => rule.id)).toEqual([uuid(1), uuid(2)]);
  expect(set.faults).toEqual([]);
  expect(versions.get(uuid(2))).toBe(2);
  expect(reports).toMatchObject([
    { id: uuid(2), version: 2, state: 'loaded', detail: '' },
    { id: uuid(3), state: 'lacking', detail: expect.stringContaining('NoSuchField') },
  ]);
});

test.each<[string, string]>([
  ['is no YAML', '{ title: ['],
  ['is a bomb of aliases', 'a: &a [1]\nb: [*a, *a]'],
  ['is no rule', 'title: x'],
  ['has an expression that RE2 refuses', sigma(2).replace('Image:', "Image|re: '(?=x)y' #")],
  ['has another id', sigma(9)],
  ['holds two documents', `${sigma(2)}---\n${sigma(4)}`],
  [
    'names a rule that there is not',
    `title: F\nid: ${uuid(2)}\nlogsource:\n  category: process_creation\n  product: linux\nfilter:\n  rules: [${uuid(77)}]\n  selection:\n    User: root\n  condition: selection\n`,
  ],
  ['has the id of a rule of a file', sigma(1)],
])('one that %s is refused by itself', (_, text) => {
  const files = [{ name: 'a.yml', text: sigma(1) }];
  const bad = text === sigma(1) ? { ...kept(1), text } : kept(2, text);
  const { set, reports } = bookOf(files, [bad, kept(5)]);
  expect(set.faults).toEqual([]);
  expect(set.evaluable.map(({ rule }) => rule.id)).toEqual([uuid(1), uuid(5)]);
  expect(reports.find(({ id }) => id === bad.id)).toMatchObject({ state: 'refused', detail: expect.stringMatching(/./) });
  expect(stateOf(reports, 5)).toBe('loaded');
});

test('whatever texts are kept, those that are valid are in force, and the outcome of each does not depend on the others', () => {
  const broken = fc.constantFrom('', ': :', 'title: x', '{', '- a\n- b', '%');
  fc.assert(
    fc.property(fc.array(fc.option(broken, { freq: 2 }), { maxLength: 8 }), (texts) => {
      const rules = texts.map((text, i) => kept(i + 1, text ?? sigma(i + 1)));
      const { set, reports } = bookOf([], rules);
      expect(set.evaluable.map(({ rule }) => rule.id)).toEqual(rules.filter((_, i) => texts[i] === null).map(({ id }) => id));
      for (const [i, text] of texts.entries()) expect(stateOf(reports, i + 1)).toBe(text === null ? 'loaded' : 'refused');
    }),
    { numRuns: 50 },
  );
});

test('what is read is one version of the set, however it changes meanwhile', async () => {
  const step = fc.record({ at: fc.integer({ min: 0, max: 12 }), id: fc.constantFrom('a', 'b', 'c', 'd'), there: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 5 }), async (steps) => {
      const state = new Map<string, number>([
        ['a', 0],
        ['b', 0],
        ['c', 0],
      ]);
      const history = new Map<number, string>();
      let version = 1;
      let calls = 0;
      const noted = (): void => void history.set(version, JSON.stringify([...state].sort()));
      noted();
      const send: Send = async (_method, _target, body) => {
        const first = version;
        // In the order of the authority's reads: the version, then a page.
        for (const { at, id, there } of steps.filter((one) => one.at === calls)) {
          void at;
          version += 1;
          if (there) state.set(id, version);
          else state.delete(id);
          noted();
        }
        calls += 1;
        const rest = [...state].sort().filter(([id]) => id > (body as { after: string }).after);
        const page = rest.slice(0, 2).map(([id, v]) => ({ id, version: v, text: '' }));
        return { version: first, rules: page, next: rest.length > 2 ? page.at(-1)!.id : null };
      };
      const read = await readKeptRules(send);
      expect(JSON.stringify(read.rules.map(({ id, version: v }) => [id, v]))).toBe(history.get(read.version));
    }),
    { numRuns: 300 },
  );
});
