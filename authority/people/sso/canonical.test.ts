import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalize } from './canonical.js';
import { childOf, parseXml } from './xml.js';

describe('the canonical form', () => {
  test.each<[string, string, string]>([
    [
      'sorts attributes and declarations',
      '<a z="1" b="2" xmlns:y="urn:y" y:c="3" xmlns="urn:d"/>',
      '<a xmlns="urn:d" xmlns:y="urn:y" b="2" z="1" y:c="3"></a>',
    ],
    [
      'declares only what is used, where it is used',
      '<a xmlns:x="urn:x" xmlns:n="urn:n"><x:b><x:c/></x:b><x:b/></a>',
      '<a><x:b xmlns:x="urn:x"><x:c></x:c></x:b><x:b xmlns:x="urn:x"></x:b></a>',
    ],
    [
      'declares anew what changes',
      '<a xmlns="urn:1"><b xmlns="urn:2"/><c xmlns=""/></a>',
      '<a xmlns="urn:1"><b xmlns="urn:2"></b><c xmlns=""></c></a>',
    ],
    ['escapes as it must', "<a b='\"&#9;&#10;&lt;>'>&#13;&gt;\"'</a>", '<a b="&quot;&#x9;&#xA;&lt;>">&#xD;&gt;"\'</a>'],
  ])('%s', (_, source, expected) => expect(canonicalize(parseXml(source))).toBe(expected));

  test('leaves a signature out, and declares what it is told to', () => {
    const root = parseXml('<a xmlns:x="urn:x"> <s/> <b/></a>');
    expect(canonicalize(root, { without: childOf(root, '', 's'), inclusive: ['x', 'none'] })).toBe('<a xmlns:x="urn:x">  <b></b></a>');
  });

  test('is its own canonical form', () => {
    const once = canonicalize(parseXml('<a xmlns="urn:d" xmlns:p="urn:p"><p:b p:c="1" d="&amp;">x<e xmlns=""/></p:b></a>'));
    expect(canonicalize(parseXml(once))).toBe(once);
  });
});

/** xml-crypto's typings are those of browsers, which are incompatible with Node's. */
const load = createRequire(import.meta.url);
const { DOMParser } = load('@xmldom/xmldom') as {
  readonly DOMParser: new () => { parseFromString(text: string, type: string): { readonly documentElement: unknown } };
};
const { ExclusiveCanonicalization } = load('xml-crypto') as {
  readonly ExclusiveCanonicalization: new () => { process(node: unknown, options: object): string };
};

test('is that of xml-crypto', () => {
  const prefix = fc.constantFrom('', 'p:', 'q:');
  const text = fc.string({
    unit: fc.constantFrom('a', '&amp;', '&lt;', '>', '&quot;', '&#13;', '&#9;', ' ', '\n', 'é', '😀'),
    maxLength: 5,
  });
  const declarations = fc
    .subarray(['xmlns:p="urn:1"', 'xmlns:p="urn:2"', 'xmlns="urn:3"', 'xmlns:q="urn:1"', 'xmlns=""'].slice(0))
    .filter((list) => new Set(list.map((one) => one.split('=')[0])).size === list.length);
  const elementOf = (inner: fc.Arbitrary<string>): fc.Arbitrary<string> =>
    fc
      .tuple(
        prefix,
        fc.constantFrom('a', 'b'),
        declarations,
        fc.uniqueArray(fc.tuple(fc.constantFrom('', 'p:'), fc.constantFrom('k', 'l', 'm'), text), {
          selector: ([, name]) => name,
          maxLength: 3,
        }),
        fc.array(inner, { maxLength: 3 }),
      )
      .map(
        ([head, name, list, attributes, content]) =>
          `<${head}${name} ${list.join(' ')}${attributes.map(([space, key, value]) => ` ${space}${key}="${value.replaceAll('\n', '')}"`).join('')}>${content.join('')}</${head}${name}>`,
      );
  const documents = [1, 2, 3]
    .reduce((inner) => elementOf(fc.oneof(text, inner)), elementOf(text))
    .map((inner) => `<root xmlns:p="urn:p" xmlns:q="urn:q" xmlns="urn:d">${inner}</root>`);
  fc.assert(
    fc.property(documents, (source) => {
      const theirs = new ExclusiveCanonicalization().process(new DOMParser().parseFromString(source, 'text/xml').documentElement, {});
      expect(canonicalize(parseXml(source))).toBe(theirs.toString());
    }),
    { numRuns: 500 },
  );
});
