/**
 * Parses YAML documents that describe resources into checked values, with errors that show the position.
 *
 * Strict and bounded: a file has at most 1 MiB and 1,000 documents of 64 KiB; aliases (a few lines of them expand to
 * gigabytes), duplicate keys, tags and unknown fields are errors. Each document keeps its text, which the authority stores,
 * so that a decision can name the line of a rule (`placeOf`). Tested in document.test.ts.
 */
import { isAlias, isCollection, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseAllDocuments, visit } from 'yaml';
import type { Document, Node, Pair } from 'yaml';
import type { z } from 'zod';
import { MAX_DOCUMENT } from '#schemas/api/access/roles.js';
import { suggestion } from '#schemas/base/suggestion.js';
import { StenoError } from '#schemas/base/errors.js';
import { isResourceKind, resourceSchemas } from './kinds.js';
import type { StoredKind } from './kinds.js';
import { knownFields } from './known-fields.js';

export const MAX_FILE = 1 << 20;
const MAX_DOCUMENTS = 1000;
const MAX_DEPTH = 32;

type Path = readonly (string | number)[];

/** A position in a file; lines and columns count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface Resource<Kind extends StoredKind = StoredKind> {
  readonly kind: Kind;
  readonly name: string;
  readonly value: z.output<(typeof resourceSchemas)[Kind]>;
  /** Text of this document alone, without the preceding `---`. */
  readonly source: string;
  /** Line of the file at which `source` begins. */
  readonly firstLine: number;
}

/**
 * Parses and checks every document of a file. Throws TOO_LARGE, or DOCUMENT_INVALID with file, line, column, the fault, and
 * the surrounding lines. `file` is used in messages only.
 */
export function parseResources(text: string, file: string): readonly Resource[] {
  if (text.length > MAX_FILE) throw new StenoError('TOO_LARGE', `${file} is larger than 1 MiB`);
  return splitDocuments(text, file).map(({ source, firstLine }) => check(source, file, firstLine));
}

/** Parses one document, as the authority stores it. */
export function parseResource(source: string, file: string): Resource {
  return check(source, file, 1);
}

/** Parses a file that is a single document of this schema and not a resource: a configuration. */
export function parseAs<Schema extends z.ZodType>(text: string, file: string, schema: Schema): z.output<Schema> {
  const [only, second] = splitDocuments(text, file);
  const { document, fault } = parseDocument(only!.source, file, only!.firstLine);
  if (second !== undefined) throw fault('is followed by a second document', 0);
  if (!isMap(document.contents)) throw fault('is not a list of fields', document.contents?.range?.[0] ?? 0);
  const parsed = schema.safeParse(document.toJS({ maxAliasCount: 0 }));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues.find(({ code }) => code === 'unrecognized_keys') ?? parsed.error.issues[0]!;
  throw faultOf(issue, { document, source: only!.source, schema, fault });
}

/** The position of a decision's clause in a document; for a default, the nearest element above it. Null if there is none. */
export function placeOf(source: string, path: Path): (Place & { readonly text: string }) | null {
  try {
    const { document, lines } = parseDocument(source, '', 1);
    const { node } = nearest(document, path);
    const { node: parent } = nearest(document, path.slice(0, -1));
    // A collection's position is that of its key.
    const key = isMap(parent) ? parent.items.find(({ key: one }) => isScalar(one) && one.value === path.at(-1))?.key : undefined;
    const start = (isNode(key) ? key.range : node?.range)?.[0];
    if (start === undefined) return null;
    const { line, col } = lines.linePos(start);
    return { line, column: col, text: source.split('\n')[line - 1]!.trim() };
  } catch (error) {
    if (error instanceof StenoError) return null;
    throw error;
  }
}

/** Splits at `---` lines. Within a document these could occur only in a block scalar, where no resource has one. */
export function splitDocuments(text: string, file: string): readonly { readonly source: string; readonly firstLine: number }[] {
  const documents: { source: string; firstLine: number }[] = [];
  let source = '';
  let firstLine = 1;
  const lines = text.replace(/^\ufeff/, '').split('\n');
  const end = (next: number): void => {
    if (/^\s*[^\s#]/m.test(source)) documents.push({ source: `${source.trimEnd()}\n`, firstLine });
    source = '';
    firstLine = next;
  };
  lines.forEach((line, i) => {
    if (/^(?:---|\.\.\.)\s*(?:#.*)?\r?$/.test(line)) end(i + 2);
    else source += `${line}\n`;
  });
  end(0);
  if (documents.length > MAX_DOCUMENTS) throw new StenoError('TOO_LARGE', `${file} has more than ${MAX_DOCUMENTS} documents`);
  if (documents.length === 0) throw new StenoError('DOCUMENT_INVALID', `${file}: the file is empty`);
  return documents;
}

export interface Parsed {
  readonly document: Document;
  readonly lines: LineCounter;
  /** The error for the text from offset `start` to `end`. */
  readonly fault: (message: string, start: number, end?: number) => StenoError;
}

export function parseDocument(source: string, file: string, firstLine: number): Parsed {
  if (source.length > MAX_DOCUMENT) throw new StenoError('TOO_LARGE', `a document in ${file} is larger than 64 KiB`);
  const lines = new LineCounter();
  const fault: Parsed['fault'] = (message, start, end) => {
    const { line, col } = lines.linePos(Math.min(start, source.length));
    return new StenoError(
      'DOCUMENT_INVALID',
      `${file}:${line + firstLine - 1}:${col}: ${message}\n${excerpt(source, line, col, (end ?? start) - start, firstLine)}`,
    );
  };
  const tooDeep = deepest(source);
  lines.addNewLine(0);
  for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) lines.addNewLine(at + 1);
  if (tooDeep !== null) throw fault(`is nested deeper than ${MAX_DEPTH}`, tooDeep);
  let documents;
  try {
    documents = parseAllDocuments(source, {
      prettyErrors: false,
      uniqueKeys: true,
      strict: true,
      version: '1.2',
      schema: 'core',
      logLevel: 'silent',
    });
  } catch (cause) {
    // The parser is recursive: input that overflows its stack is not a valid document.
    throw new StenoError('DOCUMENT_INVALID', `${file}: cannot be parsed`, { cause });
  }
  const [document, second] = documents as readonly Document[];
  if (document === undefined) throw new StenoError('DOCUMENT_INVALID', `${file}: the file is empty`);
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) throw fault(plain(error.message), error.pos[0], error.pos[1]);
  if (second !== undefined) throw fault('is more than one document', second.range?.[0] ?? 0);
  visit(document, {
    Node: (_key, node) => {
      const [start, end] = node.range ?? [0, 0];
      if (isAlias(node)) throw fault('aliases are not allowed', start, end);
      if ('anchor' in node && node.anchor !== undefined) throw fault('anchors are not allowed', start, end);
      if (node.tag !== undefined && !node.tag.startsWith('tag:yaml.org,2002:')) throw fault('tags are not allowed', start, end);
    },
    Pair: (_key, pair) => {
      if (isNode(pair.key) && !(isScalar(pair.key) && typeof pair.key.value === 'string'))
        throw fault('a key must be a plain word', pair.key.range?.[0] ?? 0, pair.key.range?.[1]);
    },
  });
  return { document, lines, fault };
}

/** The offset at which nesting becomes too deep, or null; checked before anything recurses over the document. */
function deepest(source: string): number | null {
  let depth = 0;
  for (let at = 0; at < source.length; at++) {
    const char = source[at]!;
    if (char === '[' || char === '{') depth += 1;
    else if ((char === ']' || char === '}') && depth > 0) depth -= 1;
    else if (char === '\n') depth = 0;
    if (depth > MAX_DEPTH) return at;
    if ((at === 0 || source[at - 1] === '\n') && /^[ \t?:-]{128}/.test(source.slice(at, at + 128))) return at;
  }
  return null;
}

function check(source: string, file: string, firstLine: number): Resource {
  const { document, fault } = parseDocument(source, file, firstLine);
  const root = document.contents;
  if (!isMap(root)) throw fault('is not a resource: it must begin with kind: and name:', root?.range?.[0] ?? 0, root?.range?.[1]);
  const at = (key: string): [number, number | undefined] => {
    const node = root.get(key, true) as Node | undefined;
    return [node?.range?.[0] ?? 0, node?.range?.[1]];
  };
  const value = document.toJS({ maxAliasCount: 0 }) as Record<string, unknown>;
  const { kind } = value;
  const kinds = Object.keys(resourceSchemas);
  if (typeof kind !== 'string') throw fault(`has no kind; known kinds are ${kinds.join(', ')}`, ...at('kind'));
  if (!isResourceKind(kind))
    throw fault(`has the unknown kind ${JSON.stringify(kind.slice(0, 64))}${suggestion(kind, kinds)}`, ...at('kind'));
  const schema: z.ZodType = resourceSchemas[kind];
  const parsed = schema.safeParse(value);
  if (parsed.success) return { kind, name: value['name'] as string, value: parsed.data as never, source, firstLine };
  // A misspelt field often also appears as missing; the misspelling is the better message.
  const issue = parsed.error.issues.find(({ code }) => code === 'unrecognized_keys') ?? parsed.error.issues[0]!;
  throw faultOf(issue, { document, source, schema, fault });
}

function faultOf(
  issue: z.core.$ZodIssue,
  { document, source, schema, fault }: Pick<Parsed, 'document' | 'fault'> & { readonly source: string; readonly schema: z.ZodType },
): StenoError {
  // For a union, the last branch's issue is closest to the intended form.
  if (issue.code === 'invalid_union') {
    const inner = issue.errors.at(-1)?.[0];
    if (inner !== undefined && inner.path.length > 0)
      return faultOf({ ...inner, path: [...issue.path, ...inner.path] } as z.core.$ZodIssue, { document, source, schema, fault });
  }
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    const { node } = nearest(document, path);
    const pair = isMap(node) ? node.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === key) : undefined;
    const keyNode = (pair as Pair | undefined)?.key as Node | undefined;
    const fields = knownFields(schema, path);
    return fault(
      `${dotted([...path, key])} is not a known field${suggestion(key, fields)}`,
      keyNode?.range?.[0] ?? node?.range?.[0] ?? 0,
      keyNode?.range?.[1],
    );
  }
  const { node, exact } = nearest(document, path);
  const [start, end] = node?.range ?? [0, 0];
  const offset = 'params' in issue ? (issue.params as { offset?: number } | undefined)?.offset : undefined;
  if (exact && offset !== undefined && isScalar(node) && typeof node.value === 'string') {
    // If an expression is on one line without escapes, its text occurs literally in the document.
    const inside = source.indexOf(node.value, start);
    if (inside >= 0 && inside <= start + 1) return fault(`${dotted(path)} ${issue.message}`, inside + offset, inside + offset + 1);
  }
  return fault(
    exact ? `${dotted(path)} ${readable(issue)}` : `${dotted(path)} is missing`,
    start,
    exact && !isCollection(node) ? end : undefined,
  );
}

/** The node at the path, or the last existing node on the way to it. */
function nearest(document: Document, path: Path): { readonly node: Node | null; readonly exact: boolean } {
  let node = document.contents as Node | null;
  for (const part of path) {
    const next: unknown = isMap(node) ? node.get(String(part), true) : isSeq(node) ? node.get(part, true) : undefined;
    if (!isNode(next)) return { node, exact: false };
    node = next;
  }
  return { node, exact: true };
}

/** Formats a path, as in `allow.logins[0]`. */
export function dotted(path: Path): string {
  return (
    path.reduce<string>((text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`), '') ||
    'the document'
  );
}

/** Two preceding lines, the line, and a caret under the position. */
function excerpt(source: string, line: number, column: number, length: number, firstLine: number): string {
  const all = source.split('\n');
  const width = String(line + firstLine - 1).length;
  const shown = all
    .slice(Math.max(0, line - 3), line)
    .map((text, i, list) => `  ${String(line + firstLine - list.length + i).padStart(width)} | ${text.slice(0, 160)}`);
  const marks = '^'.repeat(Math.max(1, Math.min(length, (all[line - 1] ?? '').length - column + 1, 80)));
  return [...shown, `  ${' '.repeat(width)} | ${' '.repeat(Math.min(column - 1, 160))}${marks}`].join('\n');
}

function readable(issue: z.core.$ZodIssue): string {
  const { message } = issue;
  return /^(is|has|are|does|expects|knows|asks|compares|looks)\b/.test(message)
    ? message
    : `is invalid: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}

function plain(message: string): string {
  return message.replace(/\s+/g, ' ').slice(0, 300);
}
