import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { parseResource, parseResources, placeOf } from './document.js';

function refusal(text: string): { readonly code: string; readonly detail: string } {
  try {
    parseResources(text, 'f.yaml');
  } catch (error) {
    if (error instanceof StenoError) return { code: error.code, detail: error.detail ?? '' };
    throw error;
  }
  return expect.unreachable();
}

const good = 'kind: role\nname: web\nallow:\n  nodes: {env: [dev, stage]}\n  logins: [www]\n';

test('a file holds many documents, each with its own text and line', () => {
  const found = parseResources(`# roles of the shop\n---\n${good}---\n# the second\nkind: role\nname: db\n...\n`, 'f.yaml');
  expect(found.map(({ kind, name, firstLine }) => [kind, name, firstLine])).toEqual([
    ['role', 'web', 3],
    ['role', 'db', 9],
  ]);
  expect(found[0]!.source).toBe(good);
  expect(found[1]!.source).toBe('# the second\nkind: role\nname: db\n');
  expect(parseResource(found[0]!.source, 'web').value).toEqual(found[0]!.value);
});

test('an error shows file, line, column, the line and a caret', () => {
  expect(refusal(`---\n${good.replace('www', "'a b'")}`).detail).toBe(
    'f.yaml:6:12: allow.logins[0] is not a login: a name of the node, *, {user}, {traits.KEY} or {email.local(traits.KEY)}\n' +
      "  4 | allow:\n  5 |   nodes: {env: [dev, stage]}\n  6 |   logins: ['a b']\n    |            ^^^^^",
  );
});

describe('errors and their positions', () => {
  test.each<[string, string, RegExp]>([
    ['nothing', '# only a comment\n', /^f.yaml: the file is empty/],
    ['no resource', '- a\n', /^f.yaml:1:1: is not a resource/],
    ['no kind', 'name: x\n', /^f.yaml:1:1: has no kind; known kinds are role/],
    ['a misspelt kind', 'kind: rule\nname: x\n', /^f.yaml:1:7: has the unknown kind "rule"; did you mean "role"\?/],
    ['a misspelt field', `${good}descriptiom: x\n`, /^f.yaml:6:1: descriptiom is not a known field; did you mean "description"\?/],
    [
      'a nested field',
      'kind: role\nname: x\nallow:\n  login: [www]\n',
      /^f.yaml:4:3: allow.login is not a known field; did you mean "logins"\?/,
    ],
    [
      'a field inside a list',
      'kind: role\nname: x\nallow:\n  sessions:\n    - action: [view]\n',
      /^f.yaml:5:7: allow.sessions\[0\].action is not a known field; did you mean "actions"\?/,
    ],
    ['a value that is not allowed', 'kind: role\nname: x\nview: everything\n', /^f.yaml:3:7: view is invalid: .*all/],
    ['a missing field', 'kind: role\n', /^f.yaml:1:1: name is missing/],
    [
      'an expression, at the position inside it',
      "kind: role\nname: x\nallow:\n  node_expression: labels.env = 'x'\n",
      /^f.yaml:4:31: allow.node_expression does not understand "="/,
    ],
    [
      'a quoted expression',
      'kind: role\nname: x\nallow:\n  node_expression: "labels.env"\n',
      /^f.yaml:4:21: allow.node_expression expects something true or false/,
    ],
    ['a duration', 'kind: role\nname: x\nmax_ttl: long\n', /^f.yaml:3:10: max_ttl is not a duration/],
    ['a duplicate key', 'kind: role\nname: x\nname: y\n', /^f.yaml:3:1: Map keys must be unique/],
    ['a future version', 'kind: role\nversion: 3\nname: x\n', /^f.yaml:2:10: version is not a version that this Steno reads: 1 or 2/],
    ['an alias', 'kind: role\nname: &a x\ndescription: *a\n', /^f.yaml:2:10: anchors are not allowed/],
    ['a merge key', 'kind: role\nname: x\n<<: {a: b}\n', /<< is not a known field/],
    ['a tag', 'kind: !secret role\nname: x\n', /^f.yaml:1:(7|15): /],
    ['a key that is a list', 'kind: role\nname: x\n[a]: b\n', /^f.yaml:3:1: a key must be a plain word/],
    ['tabs for indentation', 'kind: role\nallow:\n\tnodes: {}\n', /^f.yaml:3:1: /],
    ['an open bracket', 'kind: role\nname: [x\n', /^f.yaml:\d:\d+: /],
    ['two documents in one', '--- {kind: role, name: x}\n--- {kind: role, name: y}\n', /is more than one document/],
    ['a prototype', 'kind: role\nname: x\n__proto__: {administer: true}\n', /__proto__ is not a known field/],
    ['endless brackets', `kind: role\nname: ${'['.repeat(10_000)}\n`, /^f.yaml:2:39: is nested deeper than 32/],
    [
      'endless indentation',
      `kind: role\n${Array.from({ length: 100 }, (_, i) => `${' '.repeat(2 * i)}a:`).join('\n')}\n`,
      /is nested deeper/,
    ],
    ['endless dashes', `kind: role\nname:\n${'- '.repeat(5000)}x\n`, /is nested deeper/],
  ])('%s', (_claim, text, detail) => {
    expect(refusal(text)).toMatchObject({ code: 'DOCUMENT_INVALID', detail: expect.stringMatching(detail) });
  });

  test('a billion laughs, without expanding the aliases', () => {
    const bomb = `a: &a [x, x]\n${'bcdefghij'
      .split('')
      .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[i]}`).join()}]`)
      .join('\n')}\nkind: role\nname: x\n`;
    expect(refusal(bomb).detail).toMatch(/not allowed/);
  });

  test('any text is parsed or refused with an error code', () => {
    const piece = fc.constantFrom(
      'kind: role\n',
      'name: x\n',
      'allow:\n',
      '  nodes: ',
      '{',
      '}',
      '[',
      ']',
      '*',
      '&a ',
      '*a',
      '!t ',
      '? ',
      '- ',
      ': ',
      '|\n',
      '>\n',
      "'",
      '"',
      '#',
      '---\n',
      '...\n',
      '\t',
      ' ',
      '\r\n',
      '\u0000',
      '\u2028',
      '%YAML 1.1\n',
      '<<',
      '~',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join('')),
          fc.string({ unit: 'binary', maxLength: 200 }),
        ),
        (text) => {
          try {
            for (const { value } of parseResources(text, 'f.yaml')) expect(value.name).toBe('x');
          } catch (error) {
            expect(error).toBeInstanceOf(StenoError);
            expect(['DOCUMENT_INVALID', 'TOO_LARGE']).toContain((error as StenoError).code);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('too much', () => {
    expect(refusal(`kind: role\nname: x\ndescription: ${'x'.repeat(65_536)}\n`).code).toBe('TOO_LARGE');
    expect(refusal(' '.repeat((1 << 20) + 1)).code).toBe('TOO_LARGE');
    expect(refusal('---\nkind: role\nname: x\n'.repeat(1001)).code).toBe('TOO_LARGE');
  });
});

test('a clause of a decision is found in the text', () => {
  const source = '# web servers\nkind: role\nname: web\nallow:\n  nodes: {env: dev}\n  logins:\n    - www\n    - "{user}"\n';
  expect(placeOf(source, ['allow', 'logins', 1])).toEqual({ line: 8, column: 7, text: '- "{user}"' });
  expect(placeOf(source, ['allow', 'nodes'])).toMatchObject({ line: 5, text: 'nodes: {env: dev}' });
  // A default is not in the text: the position is that of the nearest element above it.
  expect(placeOf(source, ['view'])).toMatchObject({ line: 2 });
  expect(placeOf('][', ['view'])).toBeNull();
});
