/**
 * Escapes text for the inside of a JSON string, byte by byte: the same result as `growText` of schemas/recording/line.ts, without
 * decoding the text. UTF-8 needs no escapes beyond those of ASCII, so valid bytes pass through.
 *
 * Limits: the caller checked that the bytes are whole, valid UTF-8. Tested in escape.test.ts against `growText`.
 */

/** 0: copied as it is; 1: backslash and a letter; 2: \u00xx. */
const kinds = new Uint8Array(256);
const letters = new Uint8Array(256);
for (let byte = 0; byte < 0x20; byte++) kinds[byte] = 2;
for (const [byte, letter] of [
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
  [0x22, '"'],
  [0x5c, '\\'],
] as const) {
  kinds[byte] = 1;
  letters[byte] = letter.charCodeAt(0);
}
const hex = new Uint8Array(16).map((_, digit) => digit.toString(16).charCodeAt(0));

export interface Escaped {
  /** Source bytes consumed. */
  read: number;
  /** Offset after the last target byte written. */
  end: number;
}

/**
 * Escapes `source[from, to)` into `target[at, limit)` and stops before a character that would not fit. The result is
 * written into `result`, since this runs for every byte a terminal shows.
 */
export function escapeInto(
  source: Uint8Array,
  from: number,
  to: number,
  target: Uint8Array,
  at: number,
  limit: number,
  result: Escaped,
): void {
  let i = from;
  let o = at;
  // Four plain bytes at a time: terminal text has an escape every eight bytes or so.
  while (i < to) {
    const plainEnd = Math.min(to, i + (limit - o)) - 3;
    while (i < plainEnd) {
      const a = source[i]!,
        b = source[i + 1]!,
        c = source[i + 2]!,
        d = source[i + 3]!;
      if ((kinds[a]! | kinds[b]! | kinds[c]! | kinds[d]!) !== 0) break;
      target[o] = a;
      target[o + 1] = b;
      target[o + 2] = c;
      target[o + 3] = d;
      o += 4;
      i += 4;
    }
    let byte = source[i]!;
    let kind = kinds[byte]!;
    while (kind === 0 && o < limit) {
      target[o++] = byte;
      if (++i >= to) break;
      byte = source[i]!;
      kind = kinds[byte]!;
    }
    if (i >= to) break;
    const width = kind === 0 ? 1 : kind === 1 ? 2 : 6;
    if (o + width > limit) break;
    if (kind === 1) {
      target[o] = 0x5c;
      target[o + 1] = letters[byte]!;
    } else {
      target[o] = 0x5c;
      target[o + 1] = 0x75;
      target[o + 2] = 0x30;
      target[o + 3] = 0x30;
      target[o + 4] = hex[byte >> 4]!;
      target[o + 5] = hex[byte & 15]!;
    }
    o += width;
    i += 1;
  }
  // A multi-byte character cut by the limit moves whole to the next line.
  if (i < to) {
    while (i > from && (source[i]! & 0xc0) === 0x80) {
      i -= 1;
      o -= 1;
    }
  }
  result.read = i - from;
  result.end = o;
}

/** Length of `bytes` without an incomplete UTF-8 sequence at its end: at most three bytes less. */
export function wholeUtf8(bytes: Uint8Array): number {
  const end = bytes.length;
  for (let back = 1; back <= 3 && back <= end; back++) {
    const byte = bytes[end - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? end - back : end;
  }
  return end;
}
