/** What a viewer tells the authority of a recording that somebody opened, or was refused: `POST /v1/disclosures`. */
import { z } from 'zod';
import { isErrorCode } from './errors.js';
import type { ErrorCode } from './errors.js';
import { isSessionId } from './recording/line.js';

export const disclosureSchema = z.strictObject({
  event: z.enum(['recording.view', 'recording.follow', 'recording.export']),
  /** Who looked. */
  actor: z.string().min(1).max(63),
  source_address: z.string().max(64),
  session: z.string().refine(isSessionId, 'is no session'),
  node: z.string().max(255),
  login: z.string().max(255),
  /** Of an export. */
  format: z.string().max(16).optional(),
  /** Why it was refused; null when it was not. */
  code: z.custom<ErrorCode>((value) => typeof value === 'string' && isErrorCode(value)).nullable(),
  reason: z.string().max(1024),
});
export type Disclosure = z.output<typeof disclosureSchema>;
