/** Who acts, and what a decision says of itself. */
import type { Role } from './role.js';
import type { Person } from './login-template.js';

/** Who acts. `roles`: a list that does not change; the same list for the same roles is faster. */
export interface Subject extends Person {
  /** ms since 1970: what bears the name from before is that of an earlier user. Left out where there was none. */
  readonly since?: number;
  readonly roles: readonly Role[];
}

/** A place in a role's document, as `['allow', 'logins', 0]`. */
export interface Clause {
  readonly role: string;
  readonly path: readonly (string | number)[];
}

export interface Refusal {
  readonly allowed: false;
  readonly reason: string;
  /** What denied; null when nothing allowed. */
  readonly because: Clause | null;
}

export type Verdict = { readonly allowed: true; readonly because: Clause } | Refusal;
