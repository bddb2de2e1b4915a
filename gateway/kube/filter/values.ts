/**
 * Finds the values in Kubernetes objects and rewrites answers to show keys without values: for Secrets, and for other resources that a
 * role marks.
 *
 *     data, stringData, binaryData        each value becomes a marker, and keys stay
 *     metadata.annotations                removed: tools keep copies of the whole object there, each in its own form
 *     metadata.managedFields              removed: it names elements of lists by their values
 *     everything else                     unchanged
 *
 * Other fields (the environment of a pod, `spec` of a custom resource) are not examined. A Table and a list are rewritten object by
 * object; a Status passes. Tested in values.test.ts.
 */
import { Members, parse } from './members.js';

export const MARKER = '[redacted]';
/** The marker in fields that clients decode as base64. */
export const ENCODED_MARKER = Buffer.from(MARKER).toString('base64');

/** In lower case, because JSON parsers differ in whether names are case-sensitive. */
const valued: ReadonlySet<string> = new Set(['data', 'stringdata', 'binarydata']);
const copies: ReadonlySet<string> = new Set(['annotations', 'managedfields']);

/** Whether this member of an object holds values. */
export function holdsValues(key: string): boolean {
  return valued.has(key.toLowerCase());
}

/** Rewrites the JSON of an object. Throws FormError. */
export type Rewrite = (json: string) => string;

export interface HideValues {
  readonly object: Rewrite;
  /** A row of a Table. */
  readonly row: Rewrite;
  /** An event of a watch: `{type, object}`. */
  readonly event: Rewrite;
  /** A whole answer: an object, a list, a Table, or a Status. */
  readonly answer: Rewrite;
}

/** `encoded`: `data` is base64, as in Secrets, so the marker must be too. */
export function hideValues({ encoded }: { readonly encoded: boolean }): HideValues {
  const object: Rewrite = (json) =>
    rewritten(json, (key, value) => {
      const name = key.toLowerCase();
      if (name === 'metadata') return withoutCopies(value);
      if (!valued.has(name)) return value;
      return JSON.stringify(marked(parse(value), name === 'binarydata' || (name === 'data' && encoded) ? ENCODED_MARKER : MARKER));
    });
  const row: Rewrite = (json) => rewritten(json, (key, value) => (key === 'object' && value !== 'null' ? object(value) : value));
  const answer: Rewrite = (json) => {
    const { kind, apiVersion } = parse(json) as { readonly kind?: unknown; readonly apiVersion?: unknown };
    if (kind === 'Status' && apiVersion === 'v1') return json;
    if (isTable(kind, apiVersion)) return rewritten(json, (_, value) => value, new Map([['rows', row]]));
    return rewritten(object(json), (_, value) => value, new Map([['items', object]]));
  };
  const event: Rewrite = (json) => rewritten(json, (key, value) => (key === 'object' ? answer(value) : value));
  return { object, row, event, answer };
}

/** Whether the API server itself made this Table: kinds of custom resources are in other groups. */
export function isTable(kind: unknown, apiVersion: unknown): boolean {
  return kind === 'Table' && typeof apiVersion === 'string' && apiVersion.startsWith('meta.k8s.io/');
}

/** Passes members other than the arrays of `elements` to `change`; unchanged members keep their exact text, including long numbers. */
function rewritten(
  json: string,
  change: (key: string, json: string) => string | null,
  elements: ReadonlyMap<string, Rewrite> = none,
): string {
  const members = new Members(new Set(elements.keys()));
  const parts: string[] = [];
  let array: string[] = [];
  for (const piece of members.push(Buffer.from(json)))
    switch (piece.kind) {
      case 'member': {
        const text = change(piece.key, piece.json);
        if (text !== null) parts.push(`${JSON.stringify(piece.key)}:${text}`);
        break;
      }
      case 'array':
        array = [];
        break;
      case 'element':
        array.push(elements.get(piece.key)!(piece.json));
        break;
      case 'array_end':
        parts.push(`${JSON.stringify(piece.key)}:[${array.join(',')}]`);
    }
  members.end();
  return `{${parts.join(',')}}`;
}

const none: ReadonlyMap<string, Rewrite> = new Map();

function withoutCopies(metadata: string): string {
  if (metadata === 'null') return metadata;
  return rewritten(metadata, (key, value) => (copies.has(key.toLowerCase()) ? null : value));
}

/** Null is kept: the absence of a value is not a value. */
function marked(value: unknown, marker: string): unknown {
  if (value === null) return null;
  if (typeof value !== 'object' || Array.isArray(value)) return marker;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, each === null ? null : marker]));
}
