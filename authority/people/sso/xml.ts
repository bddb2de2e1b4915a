/**
 * The subset of XML that SAML needs: a strict parser.
 *
 * Accepted: elements, attributes, text, namespaces, the five named entities and character references, one XML declaration of
 * UTF-8. Refused, before anything is built or expanded: DOCTYPE and so every entity, comments (a comment inside a name
 * splits it for some readers), CDATA, processing instructions, undeclared prefixes, duplicate attributes, control
 * characters, and anything not well formed. No identity provider needs the refused features; each has been used in attacks.
 * Bounds: characters, elements, depth, attributes. Time is linear. Throws SSO_REFUSED only. Tested in xml.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';

export interface XmlAttribute {
  readonly prefix: string;
  /** '' for none. */
  readonly namespace: string;
  readonly local: string;
  readonly value: string;
}

export interface XmlElement {
  readonly prefix: string;
  readonly namespace: string;
  readonly local: string;
  /** Without namespace declarations, which are in `scope`. */
  readonly attributes: readonly XmlAttribute[];
  /** Prefixes to namespaces, declared here or above. */
  readonly scope: ReadonlyMap<string, string>;
  /** Elements and text, in order. */
  readonly content: readonly (XmlElement | string)[];
  readonly children: readonly XmlElement[];
  /** Text directly inside, without child elements. */
  readonly text: string;
}

/** UTF-16 units of a document. */
export const MAX_XML = 192 * 1024;
const MAX_ELEMENTS = 4_000;
const MAX_DEPTH = 32;
const MAX_ATTRIBUTES = 32;
/** Prefixes in scope at one place: every element that declares one copies them. */
const MAX_SCOPE = 64;

const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace';
const XMLNS_NAMESPACE = 'http://www.w3.org/2000/xmlns/';
const declaration =
  /^<\?xml version=(?:"1\.0"|'1\.0')(?: encoding=(?:"utf-8"|'utf-8'))?(?: standalone=(?:"(?:yes|no)"|'(?:yes|no)'))? ?\?>/i;
/** Characters outside XML's Char, which a document must not contain. */
const notChar =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const nameAt = /[A-Za-z_][A-Za-z0-9_.-]{0,127}(?::[A-Za-z_][A-Za-z0-9_.-]{0,127})?/y;
const spaceAt = /[ \t\n]+/y;
const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function refuse(what: string): never {
  throw new StenoError('SSO_REFUSED', `the XML ${what}`);
}

/** Normalizes line ends as XML requires. Signatures cover this text. */
function normaliseLines(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

interface Open {
  readonly name: string;
  readonly element: XmlElement & { readonly content: (XmlElement | string)[]; readonly children: XmlElement[]; text: string };
}

/** The root element. */
export function parseXml(source: string): XmlElement {
  if (source.length > MAX_XML) refuse(`has over ${MAX_XML} characters`);
  if (notChar.test(source)) refuse('has characters that XML does not know');
  const text = normaliseLines(source);
  let at = declaration.exec(text)?.[0].length ?? 0;
  let elements = 0;
  let root: XmlElement | undefined;
  const open: Open[] = [];

  const match = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? '';
    at += found.length;
    return found;
  };
  const expect = (what: string): void => {
    if (!text.startsWith(what, at)) refuse(`is not well formed at ${at}`);
    at += what.length;
  };

  const startTag = (): void => {
    const name = match(nameAt);
    if (name === '') refuse(`has something other than an element at ${at}`);
    elements += 1;
    if (elements > MAX_ELEMENTS) refuse(`has over ${MAX_ELEMENTS} elements`);
    if (open.length >= MAX_DEPTH) refuse(`is over ${MAX_DEPTH} elements deep`);
    const raw: [string, string][] = [];
    let empty = false;
    for (;;) {
      const space = match(spaceAt);
      if (text[at] === '>') {
        at += 1;
        break;
      }
      if (text[at] === '/') {
        expect('/>');
        empty = true;
        break;
      }
      const attribute = match(nameAt);
      if (space === '' || attribute === '') refuse(`is not well formed at ${at}`);
      match(spaceAt);
      expect('=');
      match(spaceAt);
      const quote = text[at];
      if (quote !== '"' && quote !== "'") refuse(`is not well formed at ${at}`);
      const end = text.indexOf(quote, at + 1);
      if (end < 0) refuse('has an attribute without end');
      const value = text.slice(at + 1, end);
      if (value.includes('<')) refuse(`has a < in an attribute at ${at}`);
      at = end + 1;
      if (raw.some(([other]) => other === attribute)) refuse('has an attribute twice in one element');
      raw.push([attribute, decode(/[\t\n]/.test(value) ? value.replace(/[\t\n]/g, ' ') : value)]);
      if (raw.length > MAX_ATTRIBUTES) refuse(`has over ${MAX_ATTRIBUTES} attributes in one element`);
    }
    const scope = scopeOf(
      raw,
      open.at(-1)?.element.scope ??
        new Map([
          ['', ''],
          ['xml', XML_NAMESPACE],
        ]),
    );
    const attributes: XmlAttribute[] = [];
    for (const [key, value] of raw) {
      if (key === 'xmlns' || key.startsWith('xmlns:')) continue;
      const { prefix, namespace, local } = resolve(key, scope, false);
      if (attributes.some((other) => other.local === local && other.namespace === namespace))
        refuse('has an attribute twice in one element');
      attributes.push({ prefix, namespace, local, value });
    }
    const { prefix, namespace, local } = resolve(name, scope, true);
    const element: Open['element'] = { prefix, namespace, local, attributes, scope, content: [], children: [], text: '' };
    if (open.length > 0) {
      const { content, children } = open.at(-1)!.element;
      content.push(element);
      children.push(element);
    } else root = element;
    if (!empty) open.push({ name, element });
  };

  const refuseMarkup = (): void => {
    if (text[at] === '!')
      refuse(
        text.startsWith('!--', at)
          ? 'has a comment'
          : text.startsWith('![CDATA[', at)
            ? 'has a CDATA section'
            : 'has a DOCTYPE or another declaration',
      );
    if (text[at] === '?') refuse('has a processing instruction');
  };

  match(spaceAt);
  expect('<');
  refuseMarkup();
  startTag();
  while (open.length > 0) {
    const next = text.indexOf('<', at);
    if (next < 0) refuse('ends inside an element');
    if (next > at) {
      const run = text.slice(at, next);
      if (run.includes(']]>')) refuse('has a ]]> in text');
      const { element } = open.at(-1)!;
      const read = decode(run);
      element.content.push(read);
      element.text += read;
    }
    at = next + 1;
    refuseMarkup();
    if (text[at] === '/') {
      at += 1;
      expect(open.pop()!.name);
      match(spaceAt);
      expect('>');
    } else startTag();
  }
  match(spaceAt);
  if (at !== text.length) refuse(text.startsWith('<!--', at) ? 'has a comment' : 'goes on after its end');
  return root!;
}

function scopeOf(attributes: readonly (readonly [string, string])[], outer: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const declared = attributes.filter(([key]) => key === 'xmlns' || key.startsWith('xmlns:'));
  if (declared.length === 0) return outer;
  const scope = new Map(outer);
  for (const [key, value] of declared) {
    const prefix = key === 'xmlns' ? '' : key.slice(6);
    const reserved = prefix === 'xml' || prefix === 'xmlns' || value === XML_NAMESPACE || value === XMLNS_NAMESPACE;
    if (reserved || (prefix !== '' && value === '')) refuse('declares a namespace that cannot be declared');
    scope.set(prefix, value);
  }
  if (scope.size > MAX_SCOPE) refuse(`has over ${MAX_SCOPE} prefixes in force in one place`);
  return scope;
}

function resolve(
  name: string,
  scope: ReadonlyMap<string, string>,
  isElement: boolean,
): { readonly prefix: string; readonly namespace: string; readonly local: string } {
  const colon = name.indexOf(':');
  const prefix = name.slice(0, Math.max(colon, 0));
  const namespace = colon < 0 && !isElement ? '' : scope.get(prefix);
  if (namespace === undefined) refuse('uses a prefix that is not declared');
  return { prefix, namespace, local: name.slice(colon + 1) };
}

function decode(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&([^;&]{0,16})(;?)/g, (_, body: string, end: string) => {
    if (end === '') refuse('has an & that begins no entity');
    const known = Object.hasOwn(entities, body) ? entities[body] : undefined;
    if (known !== undefined) return known;
    const digits = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(body);
    if (digits === null) refuse('has an entity that is not one of XML itself');
    const code = digits[1] === undefined ? Number(digits[2]) : Number.parseInt(digits[1], 16);
    if (code > 0x10ffff || notChar.test(String.fromCodePoint(code))) refuse('refers to a character that XML does not know');
    return String.fromCodePoint(code);
  });
}

/** Children by name. */
export function childrenOf(element: XmlElement, namespace: string, local: string): readonly XmlElement[] {
  return element.children.filter((child) => child.namespace === namespace && child.local === local);
}

/** The only child of this name; SSO_REFUSED if there is none or several. */
export function childOf(element: XmlElement, namespace: string, local: string): XmlElement {
  const [child, ...more] = childrenOf(element, namespace, local);
  if (child === undefined || more.length > 0) refuse(`has ${child === undefined ? 'no' : 'several'} ${local} in ${element.local}`);
  return child;
}

export function attributeOf(element: XmlElement, local: string): string | undefined {
  return element.attributes.find((attribute) => attribute.namespace === '' && attribute.local === local)?.value;
}

/** Text of an element that may contain nothing else. */
export function textOf(element: XmlElement): string {
  if (element.children.length > 0) refuse(`has elements in ${element.local}, where text belongs`);
  return element.text;
}

export function* descendants(element: XmlElement): Generator<{ readonly element: XmlElement; readonly parent: XmlElement | undefined }> {
  const queue: { readonly element: XmlElement; readonly parent: XmlElement | undefined }[] = [{ element, parent: undefined }];
  for (let i = 0; i < queue.length; i += 1) {
    const entry = queue[i]!;
    yield entry;
    for (const child of entry.element.children) queue.push({ element: child, parent: entry.element });
  }
}

/** For text and for attribute values in double quotes. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"'\n\r\t]/g, (c) => `&#${c.charCodeAt(0)};`);
}
