/**
 * Reviews of access: who holds which role, what the role reaches, since when it is held, and whether it was ever used.
 *
 * A row is one user with one role, which a reviewer keeps or removes. Use is determined from recorded sessions: the user's
 * last session on the nodes and logins that the role reaches today. Pure. Tested in reviewed-access.test.ts.
 */

import type { AccessUse } from '../recordings/audit.js';
import type { AccessHolding } from './access-reviews.js';

export interface ReviewedHolding extends AccessHolding {
  /** Null: never. */
  readonly last_used: number | null;
  readonly sessions: number;
  /** Neither used nor granted within the last 90 days. */
  readonly unused: boolean;
}

export const UNUSED_MS = 90 * 86_400_000;

/** `used`: in any order. `now`: ms since 1970. */
export function reviewed(holdings: readonly AccessHolding[], used: readonly AccessUse[], now: number): readonly ReviewedHolding[] {
  const byUser = new Map<string, AccessUse[]>();
  for (const use of used) byUser.set(use.user, [...(byUser.get(use.user) ?? []), use]);
  return holdings.map((holding) => {
    const logins = new Map(holding.reach.map(({ node, logins: allowed }) => [node, allowed]));
    const uses = (byUser.get(holding.user) ?? []).filter(({ node, login }) => {
      const allowed = logins.get(node) ?? [];
      return allowed.includes(login) || (login !== 'root' && allowed.includes('*'));
    });
    const last = uses.reduce<number | null>((latest, { last_at: at }) => (latest === null || at > latest ? at : latest), null);
    return {
      ...holding,
      last_used: last,
      sessions: uses.reduce((sum, { count }) => sum + count, 0),
      unused: (last ?? 0) < now - UNUSED_MS && holding.since < now - UNUSED_MS,
    };
  });
}
