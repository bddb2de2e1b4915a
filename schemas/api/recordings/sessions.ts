/** Recorded sessions: the list, and the facts and data of each. Times are ms since 1970, offsets ms of session time. */
import { z } from 'zod';
import { noBody, noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, queryInteger, queryRange, queryText, record, texts } from '../../endpoint/fields.js';
import { sessionKinds, sessionStates } from '../../events/rows.js';
import { kernelEventInfo } from '../../kernel/event-info.js';
import { kernelKinds } from '../../kernel/kernel.js';
import { marker } from '../../marker.js';
import { watermark } from '../../offline/watermark.js';
import { invitedModes } from '../../documents/session-invitation.js';
import { liveParticipant } from '../inventory/live-sessions.js';
import { indexProgress } from './status.js';

export type SessionState = (typeof sessionStates)[number];

const sessionRef = record({ id: z.string(), user: z.string(), node: z.string(), login: z.string() });
export type SessionRef = z.output<typeof sessionRef>;

/**
 * Participants of a live session, the session's user first; `others`: the number of further ones. `awaits`: whom the session waits for;
 * empty: nobody. `invite`: modes for which the caller's roles permit invitations; the authority decides when an invitation is made.
 */
const livePeople = record({
  participants: list(liveParticipant),
  others: z.int(),
  awaits: z.string(),
  invite: list(z.enum(invitedModes)),
});
export type LivePeople = z.output<typeof livePeople>;

export const sessionInfo = record({
  id: z.string(),
  kind: z.enum(sessionKinds),
  state: z.enum(sessionStates),
  user: z.string(),
  node: z.string(),
  login: z.string(),
  gateway: z.string(),
  source_address: z.string(),
  client_version: z.string(),
  command: z.string(),
  tty: z.boolean(),
  cols: z.int(),
  rows: z.int(),
  started_at: z.int(),
  ended_at: z.int().nullable(),
  /** Session time of the last line. */
  duration: z.number(),
  exit_code: z.int().nullable(),
  exit_signal: z.string().nullable(),
  bytes_in: z.number(),
  bytes_out: z.number(),
  recording_bytes: z.number(),
  stored_bytes: z.number(),
  /** Access requests that the session used. */
  requests: texts,
  /** The session from inside which this one was opened. Omitted if none is proven, or if the caller may not list that session. */
  opened_from: sessionRef.exactOptional(),
  /** Set for a live session that can be joined, if its gateway and the authority can be reached. */
  live: livePeople.exactOptional(),
});
export type SessionInfo = z.output<typeof sessionInfo>;

const sessionList = record({
  sessions: list(sessionInfo),
  /** Omitted if all rows are present. */
  incomplete: indexProgress.exactOptional(),
  /** Pass as `before` for the next page; null at the end. */
  next: z.string().nullable(),
});
export type SessionList = z.output<typeof sessionList>;

export const segmentIndex = record({
  session: z.string(),
  cols: z.int(),
  rows: z.int(),
  duration: z.number(),
  live: z.boolean(),
  /** Last durable block, after which the live socket continues. */
  block: z.int(),
  /** In order, without holes. `start`, `end`: offsets; `first_block`: block of the first line; `cols`, `rows` at start. */
  segments: list(record({ n: z.int(), start: z.number(), end: z.number(), first_block: z.int() })),
  markers: list(marker),
  /** To be shown with the recording, if a role of the caller requires it. */
  watermark: watermark.exactOptional(),
});
export type SegmentIndex = z.output<typeof segmentIndex>;

const sessionFact = record({ at: z.int(), offset: z.number(), kind: z.string(), data: z.unknown() });
export type SessionFact = z.output<typeof sessionFact>;

const kernelEventList = record({
  events: list(kernelEventInfo),
  /**
   * Gaps of the kernel events that the session's recording reports, in its order. They are signed by the gateway and are not part
   * of the order of `events`, where a node's rows follow all rows of the recording. Every page carries all gaps known now.
   */
  gaps: list(kernelEventInfo),
  /** Whether there are more after the last one now. */
  more: z.boolean(),
  /** As in `sessionInfo`; on the first page only. */
  opened_from: sessionRef.exactOptional(),
});
export type KernelEventList = z.output<typeof kernelEventList>;

export const exportFormats = [
  'cast.zst',
  'events.zst',
  'html',
  'cast',
  'txt',
  'json',
  'events.csv',
  'events.ocsf',
  'svg',
  'png',
  'gif',
] as const;
export type ExportFormat = (typeof exportFormats)[number];
/** The longest span of an animation, in ms. */
export const MAX_ANIMATION_MS = 60_000;

/** Session times in ms. */
export function isAnimationSpan(from: number, to: number): boolean {
  return to > from && to - from <= MAX_ANIMATION_MS;
}

/** Any text is accepted, so that an invalid id is answered like an unknown session. */
const params = z.strictObject({ id: z.string() });
const errors = ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'] as const;
const stored = [...errors, 'NOT_FOUND', 'STORE_NOT_FOUND', 'RECORDING_MALFORMED'] as const;

export const listSessions = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions',
  summary: 'List sessions that the caller may see, newest first.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({
    user: queryText.optional(),
    node: queryText.optional(),
    login: queryText.optional(),
    ...queryRange,
    kind: z.enum(sessionKinds).optional(),
    request: queryText.optional(),
    state: z.enum(sessionStates).optional(),
    limit: queryInteger(1, 200).default(50),
  }),
  body: noBody,
  answer: sessionList,
  errors: ['QUERY_TOO_HEAVY'],
});

export const showSession = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id',
  summary: 'Show a session.',
  admits: ['user'],
  params,
  query: noQuery,
  body: noBody,
  answer: sessionInfo,
  errors,
});

export const openSession = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/opening',
  summary: 'Get everything that a page shows of a session at first, in one answer (schemas/api/recordings/opening.ts).',
  admits: ['user'],
  params,
  query: z.strictObject({ at: queryInteger(0, 999_999_999_999).optional() }),
  body: noBody,
  answer: z.string(),
  media: 'text/plain',
  errors: stored,
});

export const listSegments = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/segments',
  summary: 'List the segments of a recording.',
  admits: ['user'],
  params,
  query: noQuery,
  body: noBody,
  answer: segmentIndex,
  errors: stored,
});

export const showSegment = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/segments/:n',
  summary: 'Get the lines of a segment: asciicast v3 events without a header, keyframe first.',
  admits: ['user'],
  params: z.strictObject({ id: z.string(), n: z.string() }),
  query: noQuery,
  body: noBody,
  answer: z.string(),
  media: 'text/plain',
  errors: stored,
});

export const listFacts = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/facts',
  summary: 'List files, forwards, gaps and participants of a session.',
  admits: ['user'],
  params,
  query: noQuery,
  body: noBody,
  answer: list(sessionFact),
  errors,
});

export const listKernelEvents = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/events',
  summary: 'List the kernel events and gaps of a session, in order.',
  admits: ['user'],
  params,
  query: z.strictObject({
    kinds: z
      .string()
      .max(255)
      .transform((kinds) => kinds.split(','))
      .pipe(z.array(z.enum(kernelKinds)).min(1))
      .optional(),
    only: z.enum(['changes', 'tree']).optional(),
    /** Offset; earlier events are left out. */
    from: queryInteger(0, 999_999_999_999).optional(),
    after: z
      .string()
      .regex(/^\d{1,10}\.\d{1,10}$/, 'not a place')
      .transform((place) => place.split('.').map(Number))
      .pipe(z.tuple([z.int().max(0xffff_ffff), z.int().max(0xffff_ffff)]))
      .transform(([block, index]) => ({ block, index }))
      .optional(),
    limit: queryInteger(1, 1000).default(200),
  }),
  body: noBody,
  answer: kernelEventList,
  errors,
});

export const exportSession = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/export',
  summary:
    'Export a recording: verifiable, as a page that verifies itself, as lines, as text, or as JSON; its events as CSV or OCSF; a picture of its screen, or of a span as an animation.',
  admits: ['user'],
  params,
  query: z.strictObject({
    format: z.enum(exportFormats).default('cast.zst'),
    /** Session time in ms of a picture, or of the start of an animation. */
    at: queryInteger(0, 999_999_999_999).optional(),
    /** End of an animation, at most a minute later. */
    until: queryInteger(0, 999_999_999_999).optional(),
  }),
  body: noBody,
  answer: z.string(),
  media: 'application/octet-stream',
  errors: ['TOO_MANY', 'TOO_LARGE', ...stored],
});

export const followSession = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/live',
  summary: 'Follow a live session: a WebSocket of text messages with event lines, from after a block on.',
  admits: ['user'],
  params,
  query: z.strictObject({
    after: queryInteger(0, 4_294_967_295).default(0),
    drafts: z.literal('1').optional().describe('also send drafts of incomplete blocks: schemas/feed.ts'),
  }),
  body: noBody,
  answer: z.string(),
  media: 'text/plain',
  errors,
});

export const sessionEndpoints = [
  listSessions,
  showSession,
  openSession,
  listSegments,
  showSegment,
  listFacts,
  listKernelEvents,
  exportSession,
  followSession,
] as const;
