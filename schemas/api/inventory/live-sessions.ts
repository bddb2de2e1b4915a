/**
 * Which gateway and which ingest hold a live session. Gateways say so with what else they hold (`PUT /v1/nodes/held`), without
 * a session waiting for it; any viewer or gateway asks. Decision 0076.
 */
import { z } from 'zod';
import { sessionIdPattern } from '../../events/rows.js';
import { endpoint, noBody } from '../../endpoint/endpoint.js';

export const liveSessionHolder = z
  .strictObject({
    session: z.string(),
    gateway: z.string(),
    /** That takes the gateway's recordings now; null while none does. */
    ingest: z.string().nullable(),
    /** When the authority heard of the session, ms since 1970. */
    since: z.int(),
  })
  .readonly();
export type LiveSessionHolder = z.output<typeof liveSessionHolder>;

/** Sessions of one message; below the bound of a body. */
export const MAX_HELD_SESSIONS = 1_000;

const sessions = z.array(z.string().regex(sessionIdPattern)).max(MAX_HELD_SESSIONS);
/** `up` and `down`: since the last message; the first message of a run begins with what it holds in `up`. */
export const heldSessions = z.strictObject({ up: sessions, down: sessions });

export const showLiveSession = endpoint({
  method: 'GET',
  path: '/v1/live-sessions/:session',
  summary: 'Find the gateway and the ingest that hold a live session.',
  admits: ['gateway', 'viewer'],
  event: 'live_session.find',
  params: z.strictObject({ session: z.string().regex(sessionIdPattern) }),
  body: noBody,
  answer: liveSessionHolder,
  errors: ['NOT_FOUND'],
});

export const liveSessionEndpoints = [showLiveSession] as const;
