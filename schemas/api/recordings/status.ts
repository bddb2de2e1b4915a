/** The state of Steno: `steno status`, and what programs of this machine measure. */
import { z } from 'zod';
import { list, record, texts } from '../../endpoint/fields.js';
import { anyQuery, noBody, noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';

export const queueNames = ['sealing', 'indexing', 'storing', 'rows', 'kernel'] as const;
export type QueueName = (typeof queueNames)[number];

/** Work in the background: how much of it waits, what is under way included. */
export const queueReport = record({
  name: z.enum(queueNames),
  unit: z.enum(['sessions', 'bytes', 'rows', 'batches']),
  waiting: z.number(),
  /** Since it last was empty. */
  done: z.number(),
  /** Since the start of the process. */
  total: z.number(),
  /** ms since 1970, since when it has not been empty; null when nothing waits. */
  since: z.number().nullable(),
});
export type QueueReport = z.output<typeof queueReport>;
export type QueueUnit = QueueReport['unit'];

/** Rows of recordings are being computed again: until then lists and searches are incomplete. */
export const indexProgress = record({
  /** Recordings, all of them as far as they were counted; 0 for who may not know how many there are. */
  done: z.int(),
  total: z.int(),
  /** Whether audit rows from before, and kernel events of sessions without an event log, were lost: no recording holds them. */
  lost: z.boolean(),
  /** It stopped; the next start goes on. */
  failed: z.boolean(),
});
export type IndexProgress = z.output<typeof indexProgress>;

export const statusReport = record({
  version: z.string(),
  /** Only for who may view every session: their number says something of others'. */
  queues: list(queueReport),
  sessions_live: z.int(),
  sessions_total: z.int(),
  checks: list(record({ name: z.string(), ok: z.boolean(), detail: z.string() })),
});
export type StatusReport = z.output<typeof statusReport>;

export const recordingCa = record({
  /** Public key lines, the active one and those of a rotation or of the past. */
  keys: texts,
});
export type RecordingCa = z.output<typeof recordingCa>;

export const showStatus = viewerEndpoint({
  method: 'GET',
  path: '/api/status',
  summary: 'Show whether the stores answer, and what waits in the background.',
  admits: ['user'],
  params: noParams,
  query: anyQuery,
  body: noBody,
  answer: statusReport,
  errors: [],
});

export const showRecordingCa = viewerEndpoint({
  method: 'GET',
  path: '/api/recording-ca',
  summary: 'Show the public keys that recordings are checked with.',
  admits: ['user'],
  params: noParams,
  query: noQuery,
  body: noBody,
  answer: recordingCa,
  errors: [],
});

export const showMetrics = viewerEndpoint({
  method: 'GET',
  path: '/metrics',
  summary: 'Measure queues and connections turned away, for programs of this machine alone.',
  admits: ['owner'],
  params: noParams,
  query: noQuery,
  body: noBody,
  answer: z.string(),
  media: 'text/plain',
  errors: ['NOT_FOUND'],
});

export const statusEndpoints = [showStatus, showRecordingCa, showMetrics] as const;
