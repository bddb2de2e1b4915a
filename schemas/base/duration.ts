/** Durations as users write them: `90s`, `30m`, `2h`, `7d`, `2w`. Tested in duration.test.ts. */

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds, more than 0; null if the text is invalid. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,6})([smhdw])$/.exec(text);
  const ms = match === null ? 0 : Number(match[1]) * units[match[2]!]!;
  return ms > 0 ? ms : null;
}

/** In the largest unit that divides it, at least seconds: `2h`, `90m`. Fractions of a second are dropped. */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000) * 1000;
  const [unit, size] = Object.entries(units)
    .reverse()
    .find(([, length]) => seconds > 0 && seconds % length === 0) ?? ['s', 1_000];
  return `${seconds / size}${unit}`;
}
