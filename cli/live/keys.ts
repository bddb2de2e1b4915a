/**
 * What the keys of somebody who watches a live session mean to `steno join`: which of them lead into the past, and there, what they do.
 * All others go to the gateway. Tested in keys.test.ts.
 */

/** How the past is entered. */
export type Entry = 'pause' | 'back' | 'search';

const entries: Readonly<Record<string, Entry>> = { ' ': 'pause', '\u001b[D': 'back', '\u001bOD': 'back', '/': 'search' };

export type PastKey =
  | 'toggle'
  | { readonly by: number }
  | { readonly step: 1 | -1 }
  | 'beginning'
  | 'moment'
  | 'search'
  | { readonly hit: 1 | -1 }
  | 'catch up'
  | { readonly faster: boolean }
  | 'skip idle'
  | 'live';

const past: Readonly<Record<string, PastKey>> = {
  ' ': 'toggle',
  '\u001b[D': { by: -10_000 },
  '\u001bOD': { by: -10_000 },
  '\u001b[C': { by: 10_000 },
  '\u001bOC': { by: 10_000 },
  '\u001b[A': { by: 60_000 },
  '\u001bOA': { by: 60_000 },
  '\u001b[B': { by: -60_000 },
  '\u001bOB': { by: -60_000 },
  '.': { step: 1 },
  ',': { step: -1 },
  '0': 'beginning',
  '\u001b[H': 'beginning',
  '\u001bOH': 'beginning',
  '\u001b[1~': 'beginning',
  g: 'moment',
  '/': 'search',
  n: { hit: 1 },
  N: { hit: -1 },
  c: 'catch up',
  '>': { faster: true },
  '<': { faster: false },
  i: 'skip idle',
  l: 'live',
  L: 'live',
  q: 'live',
  '\u001b': 'live',
  '\u0003': 'live',
  '\u001b[F': 'live',
  '\u001bOF': 'live',
  '\u001b[4~': 'live',
};

export function pastKey(key: string): PastKey | null {
  return Object.hasOwn(past, key) ? past[key]! : null;
}

/** Keys, each a character or a sequence that stands for one. */
export function keysOf(text: string): readonly string[] {
  return text.match(/\u001b\[[0-9;]*[A-Za-z~]|\u001bO[A-Za-z]|[^]/gu) ?? [];
}

/** Keys while the session is shown as it is. The key `c` begins a message at the gateway, in which every key is text. */
export class LiveKeys {
  #writing = false;

  /** What goes to the gateway, and whether the past is to be entered after it. What follows that key is dropped. */
  take(text: string): { readonly pass: string; readonly enter: Entry | null } {
    let pass = '';
    const keys = keysOf(text);
    for (const key of keys) {
      if (this.#writing) {
        if (key === '\r' || key === '\n' || key === '\u0003' || (key === '\u001b' && keys.length === 1)) this.#writing = false;
      } else if (Object.hasOwn(entries, key)) return { pass, enter: entries[key]! };
      else if (key === 'c') this.#writing = true;
      pass += key;
    }
    return { pass, enter: null };
  }
}
