/**
 * Session slots: gateways' reports to the authority about connections to nodes, so that `max_sessions` holds over all gateways.
 *
 *     POST /v1/session-places {run, number, user, max, ended}    before the node is dialled, if a role sets a limit
 *     PUT  /v1/session-places {run, begun, ended}                afterwards and every PLACE_BEAT_MS, for all others; nobody waits for it
 *
 * A run is a gateway from its start to its end; a slot is a number in it. Every message may be repeated, and also shows that
 * the run is alive: slots of a run that is silent for PLACE_SILENCE_MS no longer count. The answer's `known` is false if the
 * authority had forgotten the run; the gateway then reports everything again. Decision 0034. Tested in
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
