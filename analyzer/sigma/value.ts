/** Text values of rules: wildcards and their escapes, and the modifiers that change a text. Tested in value.test.ts. */
import { ANY, ONE, patternOf } from '../predicate/pattern.js';
import type { Pattern } from '../predicate/pattern.js';

/**
 * Sigma rules specification 2.1, "Escaping": `*` and `?` are wildcards, a backslash before one of them or before another backslash
 * removes the special meaning, and a backslash before anything else is literal.
 */
export function parseText(text: string): Pattern {
  const pieces: (string | typeof ANY | typeof ONE)[] = [];
  let plain = '';
  const wild = (piece: typeof ANY | typeof ONE): void => {
    pieces.push(plain, piece);
    plain = '';
  };
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i]!;
    const next = text[i + 1];
    if (character === '\\' && (next === '*' || next === '?' || next === '\\')) {
      plain += next;
      i += 1;
    } else if (character === '*') wild(ANY);
    else if (character === '?') wild(ONE);
    else plain += character;
  }
  return patternOf([...pieces, plain]);
}

/** The text of a pattern without wildcards; undefined for one with. */
export function plainText(pattern: Pattern): string | undefined {
  if (pattern.length === 0) return '';
  const [only] = pattern;
  return pattern.length === 1 && typeof only === 'string' ? only : undefined;
}

export type Encoding = 'utf8' | 'utf16le' | 'utf16be' | 'utf16';

export function encode(text: string, encoding: Encoding): Buffer {
  if (encoding === 'utf8') return Buffer.from(text, 'utf8');
  const little = Buffer.from(text, 'utf16le');
  if (encoding === 'utf16le') return little;
  if (encoding === 'utf16be') return Buffer.from(little).swap16();
  // With a byte order mark.
  return Buffer.concat([Buffer.from([0xff, 0xfe]), little]);
}

/** The base64 text that appears when the bytes occur within a longer text: one for each of the three alignments to base64 groups. */
export function base64Offsets(bytes: Buffer): readonly string[] {
  const first = [0, 2, 3];
  const last = [0, 3, 2];
  return first.map((start, shift) => {
    const whole = Buffer.concat([Buffer.alloc(shift, ' '), bytes]).toString('base64');
    return whole.slice(start, whole.length - last[(bytes.length + shift) % 3]!);
  });
}

/** Characters that Windows programs, and text pasted into them, accept as the start of an option. */
const dashes = ['-', '/', '\u2013', '\u2014', '\u2015'];
const MAX_DASHES = 4;

/** Every spelling of the options in a text; undefined for more than four options. */
export function dashed(pattern: Pattern): readonly Pattern[] | undefined {
  let ways: (string | typeof ANY | typeof ONE)[][] = [[]];
  let found = 0;
  for (const piece of pattern) {
    if (typeof piece !== 'string') {
      for (const way of ways) way.push(piece);
      continue;
    }
    piece.split(/\B([-/])\b/).forEach((part, i) => {
      if (i % 2 === 0) for (const way of ways) way.push(part);
      else if (++found <= MAX_DASHES) ways = ways.flatMap((way) => dashes.map((dash) => [...way, dash]));
    });
  }
  return found > MAX_DASHES ? undefined : ways.map(patternOf);
}
