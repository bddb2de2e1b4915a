/** The event store's queries about patterns over sessions. The store parses each query at its edge. */
import { z } from 'zod';
import { sessionIdPattern, tiers } from '#schemas/events/rows.js';
import type { Tier } from '#schemas/events/rows.js';
import type { Condition } from '#schemas/policy/session-condition.js';

/** Sessions that started in a span. */
export interface PatternQuery {
  /** ms since 1970: inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** Restricts to sessions that match; all others are left out of every number. */
  readonly visible?: Condition | undefined;
  readonly user?: string | undefined;
  /** Tier of the rule of a finding; a finding without one is an alert. */
  readonly tiers: readonly Tier[];
}

/** Sessions of the span that are similar to this one, which need not be in the span. */
export interface AlikeQuery extends Omit<PatternQuery, 'tiers'> {
  readonly session: string;
}

const moment = z.int().min(0).max(7_258_118_400_000);
const span = {
  from: moment,
  to: moment,
  /** Built by the policy, never by a request. */
  visible: z.custom<Condition>((value) => typeof value === 'object' && value !== null).optional(),
  user: z.string().max(255).optional(),
};
export const patternQuery = z.strictObject({ ...span, tiers: z.array(z.enum(tiers)).min(1).max(tiers.length) });
export const alikeQuery = z.strictObject({ ...span, session: z.string().regex(sessionIdPattern) });
