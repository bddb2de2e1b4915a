/** Random ids that people read out and type. Tested in ids.test.ts. */
import { randomInt } from 'node:crypto';

/** Digits and lower-case letters, without look-alikes (0, 1, i, l, o), and without u, which would allow words. Just under five bits each. */
const DIGITS = '23456789abcdefghjkmnpqrstvwxyz';

/** `PREFIX-` and `length` characters of `DIGITS`. */
export function newId(prefix: string, length: number): string {
  return `${prefix}-${Array.from({ length }, () => DIGITS[randomInt(DIGITS.length)]).join('')}`;
}
