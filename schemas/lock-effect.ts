/**
 * Gateways' reports to the authority about what a lock has ended, so that the user who sets a lock learns which gateways have applied it.
 *
 *     PUT /v1/lock-effects {effects: [{lock, connections, sessions}]}    gateways, after they have applied a lock
 *     GET /v1/lock-effects/LOCK                                          whoever may list locks
 *
 * A gateway reports every lock that it applies, even if the lock ended nothing. Counts are totals, so a message may be repeated.
 * Neither the event store nor the viewer is involved. Tested in authority/access/lock-effects.test.ts.
 */
import { z } from 'zod';
import { isName } from './base/identity.js';

/** Limit of one message; below the limit of a body. */
export const MAX_LOCK_EFFECTS = 500;

const count = z.number().int().min(0).max(10_000_000);
const effect = z.strictObject({
  lock: z.string().max(63).refine(isName, 'is not a valid name'),
  /** Connections ended with all their sessions. */
  connections: count,
  sessions: count,
});

export type LockEffect = z.infer<typeof effect>;

export const lockEffectReport = z.strictObject({ effects: z.array(effect).max(MAX_LOCK_EFFECTS) });
export type LockEffectReport = z.infer<typeof lockEffectReport>;
