/** Queries about the response to findings. The store parses each query at its edge. */
import { z } from 'zod';
import { tiers } from '#schemas/events/rows.js';
import type { Tier } from '#schemas/events/rows.js';
import type { Condition } from '#schemas/policy/session-condition.js';

export interface ResponseQuery {
  /** Bounds the time of the findings, in ms since 1970: inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** Restricts to matching sessions. */
  readonly visible?: Condition | undefined;
  /** Restricts to this user's sessions. */
  readonly user?: string | undefined;
  /** Tier of the rule; a finding without one is an alert. */
  readonly tiers: readonly Tier[];
}

const moment = z.int().min(0).max(7_258_118_400_000);
export const responseQuery = z.strictObject({
  from: moment,
  to: moment,
  /** Built by the policy, never by a request. */
  visible: z.custom<Condition>((value) => typeof value === 'object' && value !== null).optional(),
  user: z.string().max(255).optional(),
  tiers: z.array(z.enum(tiers)).min(1).max(tiers.length),
});
