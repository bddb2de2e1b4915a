/** The state of Steno: `steno status`, and measurements for programs on this machine. */
import { z } from 'zod';
import { list, record, texts } from '../../endpoint/fields.js';
import { anyQuery, noBody, noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';

const queueNames = ['sealing', 'indexing', 'storing', 'rows', 'kernel'] as const;
export type QueueName = (typeof queueNames)[number];

/** Background work: the amount that waits, including work in progress. */
const queueReport = record({
  name: z.enum(queueNames),
  unit: z.enum(['sessions', 'bytes', 'rows', 'batches']),
  waiting: z.number(),
  /** Since it last was empty. */
  done: z.number(),
  /** Since the start of the process. */
  total: z.number(),
  /** Since when it has not been empty, ms since 1970; null if nothing waits. */
  since: z.number().nullable(),
});
export type QueueReport = z.output<typeof queueReport>;
export type QueueUnit = QueueReport['unit'];

/** Progress of recomputing the rows of recordings; meanwhile lists and searches are incomplete. */
export const indexProgress = record({
  /** Number of recordings, as far as counted; 0 for users who may not know the number. */
  done: z.int(),
  total: z.int(),
  /** Whether earlier audit rows, and kernel events of sessions without an event log, were lost: no recording holds them. */
  lost: z.boolean(),
  /** It stopped and continues at the next start. */
  failed: z.boolean(),
});
export type IndexProgress = z.output<typeof indexProgress>;

/** One SIEM destination (docs/siem.md). Counters start with the process. */
const siemReport = record({
  name: z.string(),
  format: z.enum(['ocsf', 'syslog']),
  /** `waiting`: sending has not begun; `elsewhere`: another analyzer sends. */
  state: z.enum(['waiting', 'sending', 'failing', 'elsewhere']),
  /** Why it fails; '' if it does not. */
  error: z.string(),
  sent: z.int(),
  /** Rows that the destination refused. */
  refused: z.int(),
  /** Stored rows that are not delivered yet, at the last count, at most ten seconds ago. */
  waiting: z.int(),
  /** How long there have been such rows, in ms. */
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
  /** Number of ingests to follow, and of those being followed. */
  feeds: z.int(),
  feeds_open: z.int(),
  sessions: z.int(),
  /** Sessions with rows not analyzed yet, and the age of the oldest such row. */
  behind: z.int(),
  lag_ms: z.int(),
  rows: z.int(),
  findings: z.int(),
  findings_waiting: z.int(),
  findings_dropped: z.int(),
  /** Detectors that failed and were disabled for a session. */
  faults: z.int(),
  /** Matches dropped because of the limit of a session or a rule. */
  beyond: z.int(),
  /** Findings reported to the authority, waiting to be reported, and not reported or refused. */
  announced: z.int(),
  announcements_waiting: z.int(),
  announcements_lost: z.int(),
  siem: list(siemReport),
});
export type AnalysisReport = z.output<typeof analysisReport>;

export const statusReport = record({
  version: z.string(),
  /** Only for users who may view every session, since the numbers reveal something about others' sessions. */
  queues: list(queueReport),
  /** Null if no analyzer runs beside this viewer, and for users who may not view every session. */
  analysis: analysisReport.nullable(),
  sessions_live: z.int(),
  sessions_total: z.int(),
  checks: list(record({ name: z.string(), ok: z.boolean(), detail: z.string() })),
});
export type StatusReport = z.output<typeof statusReport>;

export const recordingCa = record({
  /** Public key lines: the active key, and those of a rotation or of earlier ones. */
  keys: texts,
});

export const showStatus = viewerEndpoint({
  method: 'GET',
  path: '/api/status',
  summary: 'Show whether the stores answer, and the queues of background work.',
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
  summary: 'Show the public keys for verifying recordings.',
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
  summary: 'Get metrics of queues and refused connections, only for programs on this machine.',
  admits: ['owner'],
  params: noParams,
  query: noQuery,
  body: noBody,
  answer: z.string(),
  media: 'text/plain',
  errors: ['NOT_FOUND'],
});

export const statusEndpoints = [showStatus, showRecordingCa, showMetrics] as const;
