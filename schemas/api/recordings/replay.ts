/**
 * Data beside a replay: a timeline of activity, and the lines that were on the screen. Offsets are ms of session time. Answers
 * are bounded regardless of the session's length: the timeline by its parts, lines by pages.
 */
import { z } from 'zod';
import { noBody, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, queryInteger, record } from '../../endpoint/fields.js';

/** Lanes of the timeline, one for each kind of events. */
export const timelineLanes = ['output', 'program', 'file', 'network', 'power', 'gap'] as const;
export type TimelineLane = (typeof timelineLanes)[number];

/** A stretch of `width` ms in which something happened. */
const timelinePart = record({
  /** Number of the stretch, which begins at `part` times `width`. */
  part: z.int(),
  /** Offset of the first event in it. */
  first: z.number(),
  /** Number of events; for `output`, of characters that were new on the screen. */
  amount: z.number(),
});
export type TimelinePart = z.output<typeof timelinePart>;

export const sessionTimeline = record({
  width: z.number(),
  lanes: list(record({ lane: z.enum(timelineLanes), parts: list(timelinePart) })),
  /** The longest stretches without anything new on the screen, in order of time. */
  idle: list(record({ from: z.number(), to: z.number() })),
});
export type SessionTimeline = z.output<typeof sessionTimeline>;

/** A line that was on the screen, once, at its first appearance. `place`: pass the last one as `after` to continue. */
const transcriptLine = record({ place: z.string(), offset: z.number(), row: z.int(), text: z.string() });
export type TranscriptLine = z.output<typeof transcriptLine>;

const transcriptPage = record({
  lines: list(transcriptLine),
  /** Whether there are lines after the last one now. */
  more: z.boolean(),
  /** Whether there are lines before the first one. */
  earlier: z.boolean(),
});
export type TranscriptPage = z.output<typeof transcriptPage>;

const params = z.strictObject({ id: z.string() });
const errors = ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'] as const;

export const showTimeline = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/timeline',
  summary: 'Show when a session printed, ran programs, touched files and used the network, in parts of equal length.',
  admits: ['user'],
  params,
  query: z.strictObject({ parts: queryInteger(1, 1000).default(400) }),
  body: noBody,
  answer: sessionTimeline,
  errors,
});

const place = z
  .string()
  .regex(/^\d{1,10}\.\d{1,10}$/, 'not a place')
  .transform((text) => text.split('.').map(Number))
  .pipe(z.tuple([z.int().max(0xffff_ffff), z.int().max(0xffff_ffff)]))
  .transform(([block, index]) => ({ block, index }));

export const listLines = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/lines',
  summary: "List the lines of a session's screen in order: after a position, before one, or around a moment.",
  admits: ['user'],
  params,
  query: z
    .strictObject({
      after: place.optional(),
      before: place.optional(),
      /** Offset: some lines before it, the rest after it. */
      at: queryInteger(0, 999_999_999_999).optional(),
      limit: queryInteger(1, 1000).default(500),
    })
    .refine(
      ({ after, before, at }) => [after, before, at].filter((one) => one !== undefined).length < 2,
      'only one of after, before and at',
    ),
  body: noBody,
  answer: transcriptPage,
  errors,
});

export const replayEndpoints = [showTimeline, listLines] as const;
