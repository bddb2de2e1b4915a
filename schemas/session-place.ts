/**
 * Places: what gateways tell the authority of connections to nodes, so that `max_sessions` holds over all of them.
 *
 *     POST /v1/session-places {run, number, user, max, ended}    before the node is dialled, where a role sets a limit
 *     PUT  /v1/session-places {run, begun, ended}                afterwards and every PLACE_BEAT_MS: of all others, without anybody waiting
 *
 * A run is a gateway from its start to its end; a place is a number in it. Every message may be sent again, and says
 * also that the run is there: the places of one that is silent for PLACE_SILENCE_MS count no more. The answer's `known` is
 * false when the authority had forgotten the run; then it is told all of it again. Decision 0034. Tested in
 * authority/access/session-places.test.ts.
 */
import { z } from 'zod';
import { isName } from './base/identity.js';

export const PLACE_BEAT_MS = 5_000;
export const PLACE_SILENCE_MS = 20_000;
/** Limit of each list in one message; below the limit of a body. */
export const MAX_PLACES = 1_000;

const run = z.string().regex(/^[0-9a-f]{16}$/, 'is not a run');
const number = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);
const user = z.string().max(63).refine(isName, 'is not a valid name');
const ended = z.array(number).max(MAX_PLACES);

export const placeRequest = z.strictObject({ run, number, user, max: z.number().int().min(1).max(10_000), ended });
export type PlaceRequest = z.infer<typeof placeRequest>;

export const placeReport = z.strictObject({ run, begun: z.array(z.strictObject({ number, user })).max(MAX_PLACES), ended });
export type PlaceReport = z.infer<typeof placeReport>;
