/** Shares with their confidence intervals. Tested in statistics.test.ts. */

export interface Share {
  readonly count: number;
  readonly of: number;
  readonly share: number;
  /** Wilson's interval at 95 %. */
  readonly low: number;
  readonly high: number;
}

export function share(count: number, of: number): Share {
  if (of === 0) return { count, of, share: 0, low: 0, high: 1 };
  const z = 1.96;
  const p = count / of;
  const centre = (p + z ** 2 / (2 * of)) / (1 + z ** 2 / of);
  const width = (z / (1 + z ** 2 / of)) * Math.sqrt((p * (1 - p)) / of + z ** 2 / (4 * of ** 2));
  return { count, of, share: p, low: Math.max(0, centre - width), high: Math.min(1, centre + width) };
}

export function percent({ share: value, low, high, count, of }: Share): string {
  const one = (part: number): string => `${(part * 100).toFixed(1)}`;
  return `${one(value)} % (${one(low)}–${one(high)}; ${count} of ${of})`;
}

/** Of ten thousand. */
export function per(unit: number, { share: value, low, high, count, of }: Share): string {
  const one = (part: number): string => (part * unit).toFixed(1);
  return `${one(value)} (${one(low)}–${one(high)}; ${count} of ${of})`;
}

/** A seeded generator of numbers from 0 to 1 (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The half of a name, by name and seed, so that each program is entirely in one half. */
export function half(name: string, seed: number): 0 | 1 {
  let hash = seed >>> 0;
  for (const c of name) hash = Math.imul(hash ^ c.codePointAt(0)!, 2_654_435_761) >>> 0;
  return ((hash ^ (hash >>> 15)) & 1) as 0 | 1;
}
