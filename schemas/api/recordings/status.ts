/** The state of Steno: `steno status`, and what programs of this machine measure. */
import { z } from 'zod';
import { list, record, texts } from '../../endpoint/fields.js';
import { anyQuery, noBody, noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';

const queueNames = ['sealing', 'indexing', 'storing', 'rows', 'kernel'] as const;
export type QueueName = (typeof queueNames)[number];

/** Work in the background: how much of it waits, what is under way included. */
const queueReport = record({
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

/** One destination that everything stored is sent on to (docs/siem.md). Counters are since the start of the process. */
const siemReport = record({
  name: z.string(),
  format: z.enum(['ocsf', 'syslog']),
  /** `waiting`: it has not begun; `elsewhere`: another analyzer sends. */
  state: z.enum(['waiting', 'sending', 'failing', 'elsewhere']),
  /** Why it fails; '' where it does not. */
  error: z.string(),
  sent: z.int(),
  /** Rows that the destination will not take. */
  refused: z.int(),
  /** Rows that are stored and were not delivered, as they were counted last: at most ten seconds ago. */
  waiting: z.int(),
  /** Since when there have been such rows, in milliseconds. */
  lag_ms: z.int(),
});
export type SiemReport = z.output<typeof siemReport>;

/** State of the analyzer next to this viewer. Counters start with its process. */
const analysisReport = record({
  /** Whether it follows sessions; false while it waits for others to leave. */
  active: z.boolean(),
  /** Whether it runs the detectors that look across sessions, and its part of all sessions, 0 to 1. */
  leads: z.boolean(),
  share: z.number(),
  rules: z.int(),
  /** Ingests that are to be followed, and those that are. */
  feeds: z.int(),
  feeds_open: z.int(),
  sessions: z.int(),
  /** Sessions with rows that were not analyzed yet, and the age of the oldest of these rows. */
  behind: z.int(),
  lag_ms: z.int(),
  rows: z.int(),
  findings: z.int(),
  findings_waiting: z.int(),
  findings_dropped: z.int(),
  /** Detectors that failed and were switched off for a session. */
  faults: z.int(),
  /** Matches left out beyond the limit of a session or a rule. */
  beyond: z.int(),
  /** Findings that the authority was told of, that wait to be, and that it was not told of or refused. */
  announced: z.int(),
  announcements_waiting: z.int(),
  announcements_lost: z.int(),
  siem: list(siemReport),
});
export type AnalysisReport = z.output<typeof analysisReport>;

export const statusReport = record({
  version: z.string(),
  /** Only for who may view every session: their number says something of others'. */
  queues: list(queueReport),
  /** Null where no analyzer runs beside this viewer, and for who may not view every session. */
  analysis: analysisReport.nullable(),
  sessions_live: z.int(),
  sessions_total: z.int(),
  checks: list(record({ name: z.string(), ok: z.boolean(), detail: z.string() })),
});
export type StatusReport = z.output<typeof statusReport>;

export const recordingCa = record({
  /** Public key lines, the active one and those of a rotation or of the past. */
  keys: texts,
});

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
