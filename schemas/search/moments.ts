/**
 * Parses moments and numbers in a search. Days and hours without a zone are in UTC, so that a link means the same to everybody.
 */

export interface Span {
  /** ms since 1970, inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

const DAY = 86_400_000;
const LAST = 7_258_118_400_000;
const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY, w: 7 * DAY };

/**
 * `2026`, `2026-03`, `2026-03-01`, `2026-03-01T14`, `…T14:05`, `…T14:05:09.123`, each with an optional `Z` or `+02:00`: the whole year,
 * month, day, … ; `today`, `yesterday`, `now`; `2h`: that long before `now`, a span without length. Null for anything else.
 */
export function spanOf(text: string, now: number): Span | null {
  const ago = /^(\d{1,6})([smhdw])$/.exec(text);
  if (ago !== null) return pointAt(now - Number(ago[1]) * units[ago[2]!]!);
  const today = Math.floor(now / DAY) * DAY;
  if (text === 'now') return pointAt(now);
  if (text === 'today') return { from: today, to: today + DAY };
  if (text === 'yesterday') return { from: today - DAY, to: today };
  return calendarSpan(text);
}

function pointAt(at: number): Span | null {
  return at >= 0 && at <= LAST ? { from: at, to: at } : null;
}

function calendarSpan(text: string): Span | null {
  const found = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?)?)?)?)?(Z|[+-]\d\d:\d\d)?$/i.exec(text);
  if (found === null) return null;
  const [, year, month, day, hour, minute, second, fraction, zone] = found;
  const numbers = [year, month ?? '1', day ?? '1', hour ?? '0', minute ?? '0', second ?? '0'].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [y, mo, d, h, mi, s] = numbers;
  const ms = Number((fraction ?? '').padEnd(3, '0').slice(0, 3));
  if (mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || s > 59) return null;
  const start = Date.UTC(y, mo - 1, d, h, mi, s, ms);
  // Refuses dates such as the 30th of February.
  if (new Date(start).getUTCDate() !== d) return null;
  const end =
    month === undefined
      ? Date.UTC(y + 1, 0, 1)
      : day === undefined
        ? Date.UTC(y, mo, 1)
        : start +
          (hour === undefined ? DAY : minute === undefined ? 3_600_000 : second === undefined ? 60_000 : fraction === undefined ? 1000 : 1);
  const shift = zoneShift(zone);
  if (shift === null) return null;
  const span = { from: start - shift, to: end - shift };
  return span.from >= 0 && span.to <= LAST ? span : null;
}

function zoneShift(zone: string | undefined): number | null {
  if (zone === undefined || zone.toUpperCase() === 'Z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  return hours > 14 || minutes > 59 ? null : (zone.startsWith('-') ? -1 : 1) * (hours * 3_600_000 + minutes * 60_000);
}

const scales: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** An integer, if `bytes` also with a unit such as `10MB` or `4KiB`. Null for anything else. */
export function numberOf(text: string, bytes: boolean): number | null {
  const found = /^(\d{1,15}(?:\.\d{1,6})?)([a-z]*)$/i.exec(text);
  if (found === null) return null;
  const scale = bytes ? scales[found[2]!.toLowerCase()] : found[2] === '' ? 1 : undefined;
  if (scale === undefined) return null;
  const value = Number(found[1]) * scale;
  return Number.isSafeInteger(Math.round(value)) && (Number.isInteger(value) || scale > 1) ? Math.round(value) : null;
}
