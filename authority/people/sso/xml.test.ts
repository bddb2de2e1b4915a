import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { childOf, childrenOf, escapeXml, parseXml, textOf } from './xml.js';
import type { XmlElement } from './xml.js';

describe('the reader', () => {
  test('reads elements, attributes, text and namespaces', () => {
    const root = parseXml(
      '<?xml version="1.0" encoding="UTF-8"?>\r\n<a:x xmlns:a="urn:a" xmlns="urn:d" k=\'1 "&lt;\'>t&#x41;&#66;<y a:k="2"/>\r\n<a:z xmlns:a="urn:b"/> u</a:x>\n',
    );
    expect([root.namespace, root.local, root.text]).toEqual(['urn:a', 'x', 'tAB\n u']);
    expect(root.attributes).toEqual([{ prefix: '', namespace: '', local: 'k', value: '1 "<' }]);
    expect(childOf(root, 'urn:d', 'y').attributes).toEqual([{ prefix: 'a', namespace: 'urn:a', local: 'k', value: '2' }]);
    expect(root.content.map((node) => (typeof node === 'string' ? node : node.local))).toEqual(['tAB', 'y', '\n', 'z', ' u']);
    expect(childrenOf(root, 'urn:b', 'z')).toHaveLength(1);
    expect(() => textOf(root)).toThrow('where text belongs');
  });

  test.each([
    ['', 'well formed'],
    ['<a', 'well formed'],
    ['<a>', 'ends inside'],
    ['<a></b>', 'well formed'],
    ['<a></ab>', 'well formed'],
    ['<a/><b/>', 'goes on'],
    ['<a/>x', 'goes on'],
    ['x<a/>', 'well formed'],
    ['<a b/>', 'well formed'],
    ['<a b=c/>', 'well formed'],
    ['<a b="1"c="2"/>', 'well formed'],
    ['<a b="1" b="2"/>', 'twice'],
    ['<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>', 'twice'],
    ['<a b="<"/>', '<'],
    ['<p:a/>', 'not declared'],
    ['<a p:b="1"/>', 'not declared'],
    ['<a xmlns:p=""/>', 'cannot be declared'],
    ['<a xmlns:xml="u"/>', 'cannot be declared'],
    ['<a xmlns:p="http://www.w3.org/2000/xmlns/"/>', 'cannot be declared'],
    ['<a>&amp</a>', 'entity'],
    ['<a>&</a>', 'entity'],
    ['<a>&x;</a>', 'entity'],
    ['<a>&#0;</a>', 'character'],
    ['<a>&#xD800;</a>', 'character'],
    ['<a>&#1114112;</a>', 'character'],
    ['<a>\u0001</a>', 'characters'],
    ['<a>\ud800</a>', 'characters'],
    ['\ufeff<a/>', 'well formed'],
    ['<a>]]></a>', ']]>'],
    ['<a><!-- x --></a>', 'comment'],
    ['<!-- x --><a/>', 'comment'],
    ['<a/><!-- x -->', 'comment'],
    ['<a><![CDATA[x]]></a>', 'CDATA'],
    ['<a><?x y?></a>', 'processing'],
    ['<?x y?><a/>', 'processing'],
    ['<!DOCTYPE a><a/>', 'DOCTYPE'],
    ['<?xml version="1.1"?><a/>', 'processing'],
    ['<?xml version="1.0" encoding="UTF-16"?><a/>', 'processing'],
    ['<a:b:c/>', 'well formed'],
    ['<1/>', 'element'],
    [`<a ${Array.from({ length: 40 }, (_, i) => `b${i}="" `).join('')}/>`, 'attributes'],
    ['<a constructor:b=""/>', 'not declared'],
    [
      Array.from({ length: 3 }, (_, i) => `<a ${Array.from({ length: 30 }, (__, j) => `xmlns:p${i * 30 + j}="u" `).join('')}>`).join('') +
        '</a>'.repeat(3),
      'prefixes',
    ],
  ])('refuses %j', (text, reason) => expect(() => parseXml(text)).toThrow(reason));

  test('has no entities of objects', () => expect(() => parseXml('<a>&constructor;</a>')).toThrow('entity'));
});

const names = fc.constantFrom('a', 'b', 'Assertion', 'x-1', '_y.z');
const texts = fc.string({ unit: fc.constantFrom('a', '<', '>', '&', '"', "'", '\n', '\t', '\r', 'é', '😀', ']'), maxLength: 8 });
interface Tree {
  readonly local: string;
  readonly attributes: readonly { readonly local: string; readonly value: string }[];
  readonly content: readonly (Tree | string)[];
}
const attributes = fc.uniqueArray(fc.record({ local: names, value: texts }), { selector: ({ local }) => local, maxLength: 3 });
const treesOf = (inner: fc.Arbitrary<Tree | string>): fc.Arbitrary<Tree> =>
  fc.record({ local: names, attributes, content: fc.array(inner, { maxLength: 3 }) });
const trees = [1, 2, 3].reduce((inner) => treesOf(fc.oneof(texts, inner)), treesOf(texts));

function write({ local, attributes: list, content }: Tree): string {
  return `<${local}${list.map((one) => ` ${one.local}="${escapeXml(one.value)}"`).join('')}>${content.map((node) => (typeof node === 'string' ? escapeXml(node) : write(node))).join('')}</${local}>`;
}

/** Merges adjacent text. */
function plain({ local, attributes: list, content }: Tree | XmlElement): Tree {
  const joined = content.reduce<(Tree | string)[]>((all, node) => {
    const last = all.at(-1);
    if (typeof node !== 'string') return [...all, plain(node)];
    if (node === '') return all;
    return typeof last === 'string' ? [...all.slice(0, -1), last + node] : [...all, node];
  }, []);
  return { local, attributes: list.map(({ local: name, value }) => ({ local: name, value })), content: joined };
}

test('what is written escaped is read as it was', () => {
  fc.assert(
    fc.property(trees, (tree) => void expect(plain(parseXml(write(tree)))).toEqual(plain(tree))),
    { numRuns: 200 },
  );
});

test('any text is read or refused, and nothing else', () => {
  const bits = fc.constantFrom(
    '<a>',
    '</a>',
    '<a/>',
    '<',
    '>',
    '/',
    '&',
    ';',
    '&lt;',
    '&#x41;',
    'x',
    ' ',
    '"',
    "'",
    '=',
    'xmlns',
    ':',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<!DOCTYPE',
    '<?xml version="1.0"?>',
    '\u0000',
    '\ud83d',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(bits, { maxLength: 40 }).map((all) => all.join('')),
      ),
      (text) => {
        try {
          parseXml(text);
        } catch (error) {
          expect(error).toBeInstanceOf(StenoError);
          expect(error).toMatchObject({ code: 'SSO_REFUSED' });
        }
      },
    ),
    { numRuns: 2_000 },
  );
});
