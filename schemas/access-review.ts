/**
 * Reviews of access: who holds which role, what it reaches, since when, and whether it was ever used.
 *
 * A row is one user with one role: what a reviewer keeps or removes. Use is read from recorded sessions: of the nodes and
 * logins that the role reaches today, the last session of this user. Pure. Tested in access-review.test.ts.
 */

export interface AccessHolding {
  readonly user: string;
  readonly kind: 'local' | 'sso' | 'bot';
  readonly disabled: boolean;
  readonly role: string;
  /** The rules of the role's document that give the access, such as `allow.nodes`. */
  readonly because: readonly string[];
  /** What it reaches now, by itself. `*` among the logins is any but root. */
  readonly reach: readonly { readonly node: string; readonly logins: readonly string[] }[];
  /** Since when the role is held, ms since 1970. */
  readonly since: number;
  /** The last decision about it, or null. */
  readonly decision: AccessDecision | null;
}

export interface AccessDecision {
  readonly user: string;
  readonly role: string;
  readonly decision: 'keep' | 'remove';
  readonly reason: string;
  readonly reviewer: string;
  readonly at: number;
}

/** Sessions of a user as a login on a node. */
export interface AccessUse {
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly last_at: number;
  readonly count: number;
}

export interface ReviewedHolding extends AccessHolding {
  /** Null: never. */
  readonly last_used: number | null;
  readonly sessions: number;
  /** Neither used nor given within the last 90 days. */
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
