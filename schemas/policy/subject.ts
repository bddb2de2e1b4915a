/** The subject of a decision, and the verdict with its reason. */
import type { Role } from './role.js';
import type { Person } from './login-template.js';

/** The acting user. `roles` must not change; passing the same list for the same roles is faster, because it is a cache key. */
export interface Subject extends Person {
  /** ms since 1970: anything older under this name belongs to an earlier user. Omitted if there was none. */
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
  /** The clause that denied; null if no clause allowed it. */
  readonly because: Clause | null;
}

/** The order in which rules are read, so that an answer names the same rule however the roles came. */
export function inOrderOfNames(roles: readonly Role[]): readonly Role[] {
  return [...roles].sort((a, b) => (a.name < b.name ? -1 : 1));
}

export type Verdict = { readonly allowed: true; readonly because: Clause } | Refusal;
