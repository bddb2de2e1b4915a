/**
 * Exclusive XML canonicalization (W3C exc-c14n, without comments) of documents parsed by `parseXml`: the signed octets.
 *
 * Security does not depend on this file being correct: a mistake makes signatures fail, since the octets then differ from
 * those the provider signed. Compared with `xml-crypto` in canonical.test.ts.
 */
import type { XmlAttribute, XmlElement } from './xml.js';

export interface CanonicalOptions {
  /** Omitted with all its contents: the enveloped signature. */
  readonly without?: XmlElement;
  /** Prefixes rendered as if used (InclusiveNamespaces); '' for the default one. */
  readonly inclusive?: readonly string[];
}

export function canonicalize(element: XmlElement, { without, inclusive = [] }: CanonicalOptions = {}): string {
  const parts: string[] = [];
  const write = (at: XmlElement, declared: ReadonlyMap<string, string>): void => {
    const used = new Set([at.prefix, ...at.attributes.map(({ prefix }) => prefix).filter((prefix) => prefix !== '')]);
    for (const prefix of inclusive) if (at.scope.has(prefix)) used.add(prefix);
    const fresh = [...used].filter((prefix) => prefix !== 'xml' && (declared.get(prefix) ?? '') !== (at.scope.get(prefix) ?? '')).sort();
    const name = at.prefix === '' ? at.local : `${at.prefix}:${at.local}`;
    parts.push('<', name);
    for (const prefix of fresh)
      parts.push(prefix === '' ? ' xmlns' : ` xmlns:${prefix}`, '="', escapeAttribute(at.scope.get(prefix) ?? ''), '"');
    for (const { prefix, local, value } of [...at.attributes].sort(byName))
      parts.push(' ', prefix === '' ? local : `${prefix}:${local}`, '="', escapeAttribute(value), '"');
    parts.push('>');
    const inner =
      fresh.length === 0 ? declared : new Map([...declared, ...fresh.map((prefix) => [prefix, at.scope.get(prefix) ?? ''] as const)]);
    for (const node of at.content) {
      if (typeof node === 'string') parts.push(escapeText(node));
      else if (node !== without) write(node, inner);
    }
    parts.push('</', name, '>');
  };
  write(element, new Map());
  return parts.join('');
}

function byName(a: XmlAttribute, b: XmlAttribute): number {
  return a.namespace < b.namespace ? -1 : a.namespace > b.namespace ? 1 : a.local < b.local ? -1 : 1;
}

const named: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\t': '&#x9;',
  '\n': '&#xA;',
  '\r': '&#xD;',
};

function escapeText(text: string): string {
  return text.replace(/[&<>\r]/g, (c) => named[c]!);
}

function escapeAttribute(text: string): string {
  return text.replace(/[&<"\t\n\r]/g, (c) => named[c]!);
}
