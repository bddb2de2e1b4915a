/** Random ids that people can read out: `c-` and so many characters of 0-9a-z, five bits and more each. */
import { randomInt } from 'node:crypto';

export function newId(prefix: string, length: number): string {
  return `${prefix}-${Array.from({ length }, () => randomInt(36).toString(36)).join('')}`;
}
