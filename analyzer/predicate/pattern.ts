/**
 * Texts with wildcards, as in Sigma: a pattern describes a whole text. `contains` is a pattern with a wildcard at
 * both ends. `?` is one character (a code point), `*` any number of them. Tested in pattern.test.ts.
 */
export const ANY = Symbol('any characters');
export const ONE = Symbol('one character');

/** No two texts and no two `ANY` are adjacent; `[]` is the empty text. */
export type Pattern = readonly (string | typeof ANY | typeof ONE)[];

/** Normalizes pieces into the form that `Pattern` guarantees. */
export function patternOf(pieces: Pattern): Pattern {
  const pattern: (string | typeof ANY | typeof ONE)[] = [];
  for (const piece of pieces) {
    if (piece === '') continue;
    const last = pattern.at(-1);
    if (piece === ANY && last === ANY) continue;
    if (typeof piece === 'string' && typeof last === 'string') pattern[pattern.length - 1] = last + piece;
    else pattern.push(piece);
  }
  return pattern;
}

/** Patterns with a cheaper test than the general one. */
export type Shape =
  | { readonly kind: 'whole' | 'contains' | 'startswith' | 'endswith'; readonly text: string }
  | { readonly kind: 'present' }
  | { readonly kind: 'wild' };

export function shapeOf(pattern: Pattern): Shape {
  const [first, second, third] = pattern;
  if (pattern.length === 0) return { kind: 'whole', text: '' };
  if (pattern.length === 1) {
    if (first === ANY) return { kind: 'present' };
    if (typeof first === 'string') return { kind: 'whole', text: first };
  }
  if (pattern.length === 2 && first === ANY && typeof second === 'string') return { kind: 'endswith', text: second };
  if (pattern.length === 2 && typeof first === 'string' && second === ANY) return { kind: 'startswith', text: first };
  if (pattern.length === 3 && first === ANY && typeof second === 'string' && third === ANY) return { kind: 'contains', text: second };
  return { kind: 'wild' };
}

/** Converts A to Z to lower case, and nothing else. */
export function fold(text: string): string {
  return /^[\u0000-\u007f]*$/.test(text) ? text.toLowerCase() : text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

export function foldPattern(pattern: Pattern): Pattern {
  return pattern.map((piece) => (typeof piece === 'string' ? fold(piece) : piece));
}

/** Decides for non-empty texts; `*` and `?` never match the empty text. Folding is up to the caller. */
export function matcherOf(pattern: Pattern): (text: string) => boolean {
  const shape = shapeOf(pattern);
  switch (shape.kind) {
    case 'present':
      return () => true;
    case 'whole':
      return (text) => text === shape.text;
    case 'contains':
      return (text) => text.includes(shape.text);
    case 'startswith':
      return (text) => text.startsWith(shape.text);
    case 'endswith':
      return (text) => text.endsWith(shape.text);
    case 'wild':
      return wildMatcher(pattern);
  }
}

/**
 * Matches the pieces between wildcards, each as early as possible: this leaves the longest rest, so no other choice could succeed where
 * this one fails. Time is at most the length of the text times the length of the pattern.
 */
function wildMatcher(pattern: Pattern): (text: string) => boolean {
  const parts: (string | typeof ONE)[][] = [[]];
  for (const piece of pattern) {
    if (piece === ANY) parts.push([]);
    else parts.at(-1)!.push(piece);
  }
  const first = parts[0]!;
  if (parts.length === 1) return (text) => endAt(first, text, 0) === text.length;
  const last = parts.at(-1)!;
  const between = parts.slice(1, -1).filter((part) => part.length > 0);
  return (text) => {
    let at = endAt(first, text, 0);
    if (at < 0) return false;
    for (const part of between) {
      at = find(part, text, at);
      if (at < 0) return false;
    }
    const tail = startOfLast(last, text);
    return tail >= at && endAt(last, text, tail) === text.length;
  };
}

/** The offset after `part` if `part` matches at `at`, or -1. */
function endAt(part: readonly (string | typeof ONE)[], text: string, at: number): number {
  let position = at;
  for (const piece of part) {
    if (piece === ONE) {
      if (position >= text.length) return -1;
      position += text.codePointAt(position)! > 0xffff ? 2 : 1;
    } else {
      if (!text.startsWith(piece, position)) return -1;
      position += piece.length;
    }
  }
  return position;
}

function find(part: readonly (string | typeof ONE)[], text: string, from: number): number {
  const [lead] = part;
  for (let at = from; at <= text.length; at = next(text, at)) {
    if (typeof lead === 'string') {
      at = text.indexOf(lead, at);
      if (at < 0) return -1;
    }
    const end = endAt(part, text, at);
    if (end >= 0) return end;
  }
  return -1;
}

function next(text: string, at: number): number {
  return at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
}

/** The offset at which the last part must begin to end with the text, or -1. */
function startOfLast(part: readonly (string | typeof ONE)[], text: string): number {
  let at = text.length;
  for (const piece of part.toReversed()) {
    if (typeof piece === 'string') at -= piece.length;
    else {
      const low = at >= 2 && /[\udc00-\udfff]/.test(text[at - 1]!) && /[\ud800-\udbff]/.test(text[at - 2]!);
      at -= low ? 2 : 1;
    }
    if (at < 0) return -1;
  }
  return at;
}

/** The longest text that every match contains; undefined if there is none. */
export function longestPiece(pattern: Pattern): string | undefined {
  const texts = pattern.filter((piece) => typeof piece === 'string');
  return texts.toSorted((a, b) => b.length - a.length)[0];
}
