/** Files that went through a session, read from its recording: `steno files`, and the files of the session's page. */
import { z } from 'zod';
import { noBody, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, record } from '../../endpoint/fields.js';

/** `steno files` extracts more. */
export const MAX_LISTED_FILES = 1000;

const recordedFile = record({
  /** Counts from 1, in the order of the recording. */
  n: z.int(),
  /** Session time in ms when it was over. */
  at: z.number(),
  /** As in docs/evidence.md: a file of a transfer protocol, a whole stream, data typed without an echo. */
  kind: z.enum(['transfer', 'stream', 'unechoed']),
  /** Protocol of a transfer; '' for anything else. */
  protocol: z.string(),
  /** `write`: onto the node. */
  operation: z.enum(['read', 'write']),
  /** Path on the node; for a stream, the stream's name. */
  path: z.string(),
  size: z.number().nullable(),
  sha256: z.string().nullable(),
  outcome: z.string(),
  /** Why its content is not in the recording; null: it can be extracted. */
  missing: z.string().nullable(),
});

const recordedFiles = record({
  files: list(recordedFile),
  /** Number of files beyond those listed. */
  more: z.int(),
});

const params = z.strictObject({ id: z.string() });
const errors = ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY', 'NOT_FOUND', 'STORE_NOT_FOUND', 'RECORDING_MALFORMED', 'TOO_MANY'] as const;

export const listRecordedFiles = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/files',
  summary: 'List the files that went through a session, and those that its recording contains completely. Reads the whole recording.',
  admits: ['user'],
  params,
  query: noQuery,
  body: noBody,
  answer: recordedFiles,
  errors,
});

export const takeRecordedFile = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/files/:n',
  summary: 'Extract a file from a recording: exactly the bytes that its gateway hashed, or an error. Requires the right to export.',
  admits: ['user'],
  params: z.strictObject({ id: z.string(), n: z.string().regex(/^[1-9]\d{0,5}$/, 'is not the number of a file') }),
  query: noQuery,
  body: noBody,
  answer: z.string(),
  media: 'application/octet-stream',
  errors: [...errors, 'FILE_MISSING', 'TOO_LARGE'],
});
