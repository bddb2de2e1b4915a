/**
 * The name by which a browser requests a lost connection: 16 random bytes, and the gateway that holds it. It is not a secret; the proof
 * (frames.ts) authorizes the resumption. Decision 0165. Tested in resumption.test.ts.
 */
import { z } from 'zod';
import { isName } from '../base/identity.js';

/** Header of a viewer's upgrade: `NEW`, or such a name. If omitted: a stream without frames, which cannot be resumed. */
export const RESUME_HEADER = 'x-steno-resume';
export const NEW = 'new';
const PATTERN = /^([A-Za-z0-9_-]{22})@(.{1,63})$/;

/** Null: not such a name. */
export function gatewayOfResumption(id: string): string | null {
  const gateway = PATTERN.exec(id)?.[2] ?? '';
  return isName(gateway) ? gateway : null;
}

export const resumption = z
  .string()
  .max(96)
  .refine((text) => text === NEW || gatewayOfResumption(text) !== null, 'names no terminal');
