/**
 * Leases: the right to do a piece of background work, among processes that share a state store.
 *
 * Obligations of every implementation, checked by conformance.ts:
 *
 * * At most one unexpired lease of a name is held, by the store's clock. A lease is never taken from its holder before it
 *   expires, except by the same holder (a run of a process) asking again, for example after a lost answer.
 * * Tokens increase: each is greater than every earlier one, of any name, also across restarts.
 * * `renew` and `release` do nothing for a token that is not the current one of its name.
 * * `held` returns the names of unexpired leases, whoever holds them.
 * * A failed call may have taken effect. Retrying is correct for all of them.
 * * The store's clock may be set. Forward: leases expire early, and two holders may work at once; their tokens distinguish
 *   them. Back: a lease that ends later than MAX_LEASE_MS from now was set by another clock and counts as expired.
 *
 * A lease is not a lock: a holder that is suspended for longer than its lease does not notice before it continues. Work with
 * steps that cannot be repeated calls `check` before each (keeper.ts), and work in the state store compares the token in its
 * own transaction (`fence`, sql.ts).
 */
export interface LeaseRequest {
  readonly name: string;
  /** One run of one process: `ingest/a/0123456789abcdef`. */
  readonly holder: string;
  /** At most MAX_LEASE_MS. */
  readonly ttlMs: number;
}

export interface LeaseClaim {
  readonly name: string;
  readonly holder: string;
  readonly token: number;
}

export interface Leases {
  /** The token; null while another process holds the lease. */
  acquire(request: LeaseRequest): Promise<number | null>;
  /** Extends the lease by `ttlMs` from now; false if it is no longer held. */
  renew(claim: LeaseClaim & { readonly ttlMs: number }): Promise<boolean>;
  release(claim: LeaseClaim): Promise<void>;
  /** The names of unexpired leases that begin with `prefix`, at most `MAX_HELD_NAMES`, sorted by their UTF-8 bytes. */
  held(prefix: string): Promise<readonly string[]>;
}
