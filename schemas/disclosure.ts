/** A viewer's report to the authority about recordings that a user opened or searched, or was refused: `POST /v1/disclosures`. */
import { z } from 'zod';
import { isErrorCode } from './base/errors.js';
import type { ErrorCode } from './base/errors.js';
import { isSessionId } from './recording/line.js';

const told = {
  /** The user who looked. */
  actor: z.string().min(1).max(63),
  source_address: z.string().max(64),
  /** Why it was refused; null if it was not. */
  code: z.custom<ErrorCode>((value) => typeof value === 'string' && isErrorCode(value)).nullable(),
  reason: z.string().max(1024),
};

const recording = z.strictObject({
  event: z.enum(['recording.view', 'recording.follow', 'recording.export']),
  ...told,
  session: z.string().refine(isSessionId, 'is not a session id'),
  node: z.string().max(255),
  login: z.string().max(255),
  /** Format of an export. */
  format: z.string().max(16).optional(),
});

/** A page of hits, which shows lines of many recordings. */
const search = z.strictObject({
  event: z.literal('recording.search'),
  ...told,
  query: z.string().max(1024),
  mode: z.string().max(16),
  hits: z.number().int().min(0).max(10_000),
});

/** A user's SQL in full, and the hash that can later prove its answer. */
const query = z.strictObject({
  event: z.literal('recording.query'),
  ...told,
  sql: z.string().max(20_000),
  rows: z.number().int().min(0).max(100_000),
  truncated: z.boolean(),
  /** SHA-256 of the answer (sql/canonical.ts); '' for a refused query. */
  hash: z.string().regex(/^([0-9a-f]{64})?$/),
  sample: z.strictObject({ size: z.number().int(), seed: z.string().max(64), population: z.number().int().nullable() }).nullable(),
});

export const disclosureSchema = z.discriminatedUnion('event', [recording, search, query]);
export type Disclosure = z.output<typeof disclosureSchema>;
export type RecordingDisclosure = z.output<typeof recording>;
export type SearchDisclosure = z.output<typeof search>;
export type QueryDisclosure = z.output<typeof query>;
