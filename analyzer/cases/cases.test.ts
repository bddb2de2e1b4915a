import { describe, expect, it } from 'vitest';
import { loadRules } from '../sigma/rule-set.js';
import { sources } from '../sources/log-source.js';
import { RuleMatcher } from '../matching/matcher.js';
import { runCases } from './cases.js';
import { eventFields } from './event-fields.js';
import { exampleRow } from './example-row.js';
import { ExampleError } from './row-writer.js';

const rule = (logsource: string, selection: string): string =>
  `title: T\nlogsource: ${logsource}\ndetection: { sel: ${selection}, condition: sel }\n`;
const execs = rule('{ category: process_creation }', '{ Image|endswith: /cat, CommandLine|contains: shadow, User: root }');
const run = (cases: string, text = execs): readonly (string | null)[] =>
  runCases({ name: 'd/r.test.yml', text: cases }, loadRules([{ name: 'd/r.yml', text }])).map(({ failure }) => failure);

describe('tests of rules', () => {
  it('say what a rule matches, and what it does not', () => {
    expect(
      run(`cases:
  - { name: root, event: { Image: /bin/cat, CommandLine: cat /etc/shadow, User: root }, matches: true }
  - { name: somebody, event: { Image: /bin/cat, CommandLine: cat /etc/shadow }, matches: false }
  - { name: wrong, event: { Image: /bin/cat, CommandLine: cat /etc/passwd, User: root }, matches: true }
  - { name: wrong too, event: { Image: /bin/cat, CommandLine: cat /etc/shadow, User: root }, matches: false }
  - { name: a field that is none, event: { Picture: /bin/cat }, matches: false }
  - { name: a user that is not told, event: { User: ann }, matches: false }
`),
    ).toEqual([
      null,
      null,
      'does not match, and should',
      'matches, and should not',
      'there is no field Picture of process_creation',
      'User of process_creation is one of root',
    ]);
  });

  it.each([
    ['cases: []', 'DOCUMENT_INVALID', /cases/],
    ['cases: [{ name: a, event: {}, match: true }]', 'DOCUMENT_INVALID', /match/],
    ['rule: other\ncases: [{ name: a, event: {}, matches: true }]', 'RULE_INVALID', /no rule other/],
  ])('%s is refused', (text, code, detail) => {
    expect(() => run(text)).toThrow(expect.objectContaining({ code, detail: expect.stringMatching(detail) as string }));
  });

  it('of a rule that cannot be evaluated say what is missing', () => {
    expect(() => run('cases: [{ name: a, event: {}, matches: true }]', rule('{ service: cron, product: linux }', '{ a: b }'))).toThrow(
      /needs log source linux\/cron/,
    );
  });

  it('of a file with several rules name one', () => {
    const both = `${execs}---\n${rule('{ category: process_creation }', '{ Image: /x }').replace('title: T', 'title: T\nname: second')}`;
    const cases = 'cases: [{ name: a, event: { Image: /x }, matches: true }]';
    expect(() => run(cases, both)).toThrow(/several rules/);
    expect(run(`rule: second\n${cases}`, both)).toEqual([null]);
  });
});

describe('an example', () => {
  it.each(sources.map((source) => [source.name, source] as const))(
    'of %s is an event that the source takes, whatever field it gives',
    (_, source) => {
      const taken = new RuleMatcher([{ scope: source, predicate: { kind: 'truth', truth: true } }]);
      for (const [name, field] of Object.entries(source.fields)) {
        const values = field.kind === 'cases' ? field.of.map(({ text }) => text) : ['7'];
        // If the source selects by this field, every other value of it means a different event.
        if (field.kind === 'text' && field.column === 'name' && source.name === 'network_connection') continue;
        for (const value of values) expect(taken.match(exampleRow(source, { [name]: value })), name).toEqual([0]);
      }
    },
  );

  it('is read back as it was written', () => {
    for (const source of sources) {
      const texts = Object.entries(source.fields)
        .filter(([name, field]) => field.kind === 'data' && name !== 'euid')
        .map(([name, field]) => [name, field.kind === 'data' && field.type === 'text' ? `of ${name}` : '7']);
      const fields = Object.fromEntries(texts) as Record<string, string>;
      expect(eventFields(source, exampleRow(source, fields)), source.name).toMatchObject(fields);
    }
    const [processes] = sources;
    expect(eventFields(processes!, exampleRow(processes!, { User: 'root', Hashes: 'SHA256=AB' }))).toMatchObject({
      User: 'root',
      sha256: 'ab',
      Hashes: 'SHA256=ab',
    });
  });

  it('gives numbers where the source has numbers', () => {
    const connections = sources.find(({ name }) => name === 'network_connection')!;
    expect(exampleRow(connections, { DestinationPort: 22 })).toMatchObject({ kind: 'connect', port: 22 });
    for (const bad of ['x', -1, 1.5]) expect(() => exampleRow(connections, { DestinationPort: bad })).toThrow(ExampleError);
  });
});
