/** Times, sizes and durations for people. Tested in format.test.ts. */
import { SHORT_MS } from '#schemas/player/short.js';

const pad = (n: number): string => String(n).padStart(2, '0');

/** `m:ss` or `h:mm:ss`. */
export function clock(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(seconds)}` : `${minutes}:${pad(seconds)}`;
}

/** A moment of a recording: with hundredths of a second where the whole is so short that `m:ss` would say nothing. */
export function clockWithin(ms: number, whole: number): string {
  return whole < SHORT_MS ? `${clock(ms)}.${pad(Math.floor((Math.max(0, ms) % 1000) / 10))}` : clock(ms);
}

/** In the largest unit or two: `480 ms`, `12 s`, `4 min 2 s`, `3 h 12 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.round(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 === 0 ? `${s / 60} min` : `${Math.floor(s / 60)} min ${s % 60} s`;
  const minutes = Math.round(s / 60);
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = n / 1024;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const full = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const day = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });
const hour = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

export function moment(at: number): string {
  return full.format(at);
}

export function timeOfDay(at: number): string {
  return hour.format(at);
}

/** `Today`, `Yesterday`, or the day. */
export function dayOf(at: number, now: number): string {
  const start = new Date(now).setHours(0, 0, 0, 0);
  if (at >= start) return 'Today';
  if (at >= start - 86_400_000) return 'Yesterday';
  return day.format(at);
}

export function isoTime(at: number): string {
  return new Date(at).toISOString();
}

/** `1 hit`, `2 hits`. */
export function numbered(count: number, one: string): string {
  return `${count.toLocaleString()} ${one}${count === 1 ? '' : 's'}`;
}
