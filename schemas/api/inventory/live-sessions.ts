/**
 * Live sessions: the gateway and ingest that hold one, its user, and its participants. Gateways report them together with
 * their tunnels (`PUT /v1/nodes/held`), without delaying any session; viewers and gateways query them. Decisions 0076 and 0132.
 */
import { z } from 'zod';
import { sessionIdPattern } from '../../events/rows.js';
import { endpoint, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, moment, record, textMap } from '../../endpoint/fields.js';
import { participantModes } from '../../session-join.js';

const sessionId = z.string().regex(sessionIdPattern);

const liveSessionHolder = record({
  session: z.string(),
  gateway: z.string(),
  /** Address for other gateways, `host:port`; empty if they cannot reach it. */
  address: z.string(),
  /** The ingest that receives the gateway's recordings now; null while none does. */
  ingest: z.string().nullable(),
  /** When the authority heard of the session, ms since 1970. */
  since: moment,
});
export type LiveSessionHolder = z.output<typeof liveSessionHolder>;

/** Sessions per message; below the limit of a body. */
export const MAX_HELD_SESSIONS = 1_000;
/** Participants listed by name; further ones are only counted. */
export const MAX_NAMED_PARTICIPANTS = 32;
/** Most UTF-16 units of all details in one message, as JSON. */
export const MAX_DETAILS_TOGETHER = 98_304;
/** Most UTF-16 units of labels as JSON; larger ones are omitted, and rules about labels then allow nothing. */
export const MAX_DETAIL_LABELS = 4_096;

export const liveParticipant = record({
  user: z.string().max(128),
  mode: z.enum(participantModes),
  /** ms since 1970. */
  since: moment,
  /** The invitation by which the participant joined. */
  invitation: z.string().max(64).exactOptional(),
});

/** Most UTF-16 units of names in the details of a session; a session with longer names cannot be joined. */
export const [MAX_LIVE_USER, MAX_LIVE_NODE, MAX_LIVE_LOGIN] = [128, 255, 64];

/** A gateway's report about a session that can be joined: the facts that rules refer to, and the participants. */
const details = {
  session: sessionId,
  user: z.string().max(MAX_LIVE_USER),
  node: z.string().max(MAX_LIVE_NODE),
  login: z.string().max(MAX_LIVE_LOGIN),
  kind: z.string().max(32),
  started_at: moment,
  /** Labels of the node when the session began; null if unknown. */
  labels: textMap.nullable(),
  /** The session's user first. */
  participants: list(liveParticipant),
  /** Number of participants not listed by name. */
  others: z.int().min(0),
  /** The participants that the session waits for, such as `1 moderator`; empty for none. */
  awaits: z.string().max(256),
};
const liveSessionDetails = record(details);
export type LiveSessionDetails = z.output<typeof liveSessionDetails>;

const sessions = z.array(sessionId).max(MAX_HELD_SESSIONS);
/** `up` and `down`: changes since the last message; the first message of a run lists all sessions in `up`. `details`: the current state. */
export const heldSessions = z.strictObject({
  up: sessions,
  down: sessions,
  details: z
    .array(
      z.strictObject({
        ...details,
        labels: textMap.refine((labels) => JSON.stringify(labels).length <= MAX_DETAIL_LABELS, 'are too long').nullable(),
        participants: z.array(liveParticipant).max(MAX_NAMED_PARTICIPANTS),
      }),
    )
    .max(MAX_HELD_SESSIONS)
    // Older gateways do not report them.
    .optional(),
});

export const showLiveSession = endpoint({
  method: 'GET',
  path: '/v1/live-sessions/:session',
  summary: 'Find the gateway and the ingest that hold a live session.',
  admits: ['gateway', 'viewer'],
  event: 'live_session.find',
  params: z.strictObject({ session: sessionId }),
  body: noBody,
  answer: liveSessionHolder,
  errors: ['NOT_FOUND'],
});

export const readLiveSessions = endpoint({
  method: 'POST',
  path: '/v1/live-sessions/read',
  summary: 'List the participants of live sessions. Sessions that no connected gateway holds or reports are left out.',
  admits: ['viewer'],
  event: 'live_session.read',
  params: noParams,
  body: z.strictObject({ sessions: z.array(sessionId).max(200) }),
  answer: list(liveSessionDetails),
  errors: [],
});

export const liveSessionEndpoints = [showLiveSession, readLiveSessions] as const;
