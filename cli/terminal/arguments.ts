/** What several verbs read from their options. Tested in cli/verbs/verbs.test.ts. */
import { InvalidArgumentError } from 'commander';
import { parseDuration } from '#schemas/base/duration.js';

/** A moment as ISO 8601 or as an age: `30m`, `2h`, `7d`. Returns ms since 1970. */
export function parseMoment(value: string, now: number = Date.now()): number {
  const age = parseDuration(value);
  if (age !== null) return now - age;
  const time = Date.parse(value);
  if (Number.isNaN(time)) throw new InvalidArgumentError('Give a date such as 2026-11-22T10:00 or an age such as 30m, 2h, 7d.');
  return time;
}

/** An option's span of time, in ms. */
export function parseSpan(value: string): number {
  const ms = parseDuration(value);
  if (ms === null) throw new InvalidArgumentError('Give a span such as 30m, 2h or 7d.');
  return ms;
}

export function parseLimit(value: string): number {
  const limit = Number(value);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw new InvalidArgumentError('Give a number from 1 to 1000.');
  return limit;
}
