/**
 * A suppression of expected findings: what they have in common, until when they are suppressed, and why.
 *
 * A new finding that matches is stored with the state `suppressed` and not announced. Every field of a suppression must match. `text` is
 * a pattern for the reason of a finding: `*` stands for any characters, and a pattern without `*` matches anywhere in the reason.
 * Existing findings keep their state. Tested in suppression.test.ts.
 */
import { z } from 'zod';
import { sessionIdPattern } from '../events/rows.js';
import { ruleId } from './detection-rule.js';

const some = z.string().min(1).max(255);
export const LONGEST_SUPPRESSION_MS = 366 * 86_400_000;

const shape = {
  rule: ruleId.exactOptional(),
  user: some.exactOptional(),
  node: some.exactOptional(),
  login: some.exactOptional(),
  session: z.string().regex(sessionIdPattern, 'is not the id of a session').exactOptional(),
  text: z.string().min(3, 'is too short').max(512).exactOptional(),
};
export const suppressionScope = z
  .strictObject(shape)
  .refine((scope) => Object.values(scope).some((value) => value !== undefined), 'names nothing: it would suppress every finding')
  .refine(({ text }) => text === undefined || /[^*\s]/.test(text), { path: ['text'], message: 'fits everything' });
export type SuppressionScope = z.output<typeof suppressionScope>;

export interface Suppressible {
  readonly rule: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly session: string;
  readonly reason: string;
}

export function suppresses({ text, ...exact }: SuppressionScope, finding: Suppressible): boolean {
  for (const name of ['rule', 'user', 'node', 'login', 'session'] as const) {
    const wanted = exact[name];
    if (wanted !== undefined && finding[name] !== wanted) return false;
  }
  return text === undefined || fits(text, finding.reason);
}

/** Linear for any pattern: each part is searched for once, after the previous part. */
function fits(pattern: string, text: string): boolean {
  if (!pattern.includes('*')) return text.includes(pattern);
  const parts = pattern.split('*');
  const [first, last] = [parts[0]!, parts.at(-1)!];
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
