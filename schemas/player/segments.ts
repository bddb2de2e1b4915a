/**
 * Segments of a recording for players: parsed once, cached within a limit, prefetched.
 *
 * Lines come from a recording and are hostile: a line that does not fit the format is skipped, sizes are clamped. Memory is
 * bounded by `CACHE_CHARACTERS` of parsed text, regardless of the length of the session. Tested in segments.test.ts.
 */
import { isSize, parseSize } from '../recording/line.js';

/** A change of the screen. `at`: session time in ms. */
export type ScreenEvent =
  | { readonly at: number; readonly kind: 'output'; readonly text: string }
  | { readonly at: number; readonly kind: 'resize'; readonly cols: number; readonly rows: number };

export interface Size {
  readonly cols: number;
  readonly rows: number;
}

export interface ParsedLines {
  /** The keyframe, if it is the first of the lines; later ones are ignored. */
  readonly keyframe: (Size & { readonly screen: string }) | null;
  readonly events: readonly ScreenEvent[];
  /** Session time of the last line. */
  readonly until: number;
  readonly characters: number;
}

const CACHE_CHARACTERS = 24 << 20;

/** `start`: session time of the line before the first one. `newlines`: a bare newline also returns the carriage (no terminal). */
export function parseLines(text: string, start: number, newlines: boolean): ParsedLines {
  let keyframe: ParsedLines['keyframe'] = null;
  const events: ScreenEvent[] = [];
  let at = start;
  for (let from = 0; from < text.length;) {
    const newline = text.indexOf('\n', from);
    const end = newline < 0 ? text.length : newline;
    const line = parseLine(text.slice(from, end));
    const first = from === 0;
    from = end + 1;
    if (line === null) continue;
    at += line.interval;
    if (line.code === 'o' && typeof line.data === 'string') {
      events.push({ at, kind: 'output', text: newlines ? line.data.replace(/\r?\n/g, '\r\n') : line.data });
    } else if (line.code === 'r' && typeof line.data === 'string') {
      const size = parseSize(line.data);
      if (size !== null) events.push({ at, kind: 'resize', ...size });
    } else if (line.code === 'k' && first) {
      keyframe = parseKeyframe(line.data);
    }
  }
  return { keyframe, events, until: at, characters: text.length };
}

function parseLine(line: string): { readonly interval: number; readonly code: unknown; readonly data: unknown } | null {
  if (!line.startsWith('[')) return null;
  try {
    const value: unknown = JSON.parse(line);
    if (!Array.isArray(value) || value.length !== 3) return null;
    const [seconds, code, data] = value as [unknown, unknown, unknown];
    return typeof seconds === 'number' && seconds >= 0 && seconds < 1e9 ? { interval: Math.round(seconds * 1000), code, data } : null;
  } catch {
    return null;
  }
}

function parseKeyframe(data: unknown): ParsedLines['keyframe'] {
  if (typeof data !== 'object' || data === null) return null;
  const { cols, rows, screen } = data as Record<string, unknown>;
  return isSize(cols) && isSize(rows) && typeof screen === 'string' ? { cols, rows, screen } : null;
}

export class SegmentCache {
  readonly #load: (n: number) => Promise<ParsedLines>;
  readonly #entries = new Map<number, { readonly promise: Promise<ParsedLines>; value?: ParsedLines }>();
  #characters = 0;

  constructor(load: (n: number) => Promise<ParsedLines>) {
    this.#load = load;
  }

  get(n: number): Promise<ParsedLines> {
    const known = this.#entries.get(n);
    if (known !== undefined) {
      // Maps keep insertion order: move the most recently used entry to the end.
      this.#entries.delete(n);
      this.#entries.set(n, known);
      return known.promise;
    }
    const entry: { promise: Promise<ParsedLines>; value?: ParsedLines } = { promise: this.#load(n) };
    this.#entries.set(n, entry);
    entry.promise.then(
      (value) => {
        if (this.#entries.get(n) !== entry) return;
        entry.value = value;
        this.#characters += value.characters;
        this.#trim(n);
      },
      () => {
        if (this.#entries.get(n) === entry) this.#entries.delete(n);
      },
    );
    return entry.promise;
  }

  put(n: number, value: ParsedLines): void {
    this.#entries.set(n, { promise: Promise.resolve(value), value });
    this.#characters += value.characters;
  }

  /** The segment if it is already loaded. */
  peek(n: number): ParsedLines | undefined {
    return this.#entries.get(n)?.value;
  }

  prefetch(n: number): void {
    if (!this.#entries.has(n)) this.get(n).catch(() => undefined);
  }

  clear(): void {
    this.#entries.clear();
    this.#characters = 0;
  }

  #trim(keep: number): void {
    for (const [n, entry] of this.#entries) {
      if (this.#characters <= CACHE_CHARACTERS) return;
      if (n === keep || entry.value === undefined) continue;
      this.#entries.delete(n);
      this.#characters -= entry.value.characters;
    }
  }
}
