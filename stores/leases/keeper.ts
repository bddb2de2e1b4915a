/**
 * Runs work under a lease: acquired, renewed during the work, released at the end.
 *
 *     asked ──somebody else holds it──► not done
 *       └──token──► working ──────────────────────────► released
 *                     └── not renewed in time ──► lost: the signal aborts, `check` throws, and nothing is released
 *
 * The holder measures from before its request, by a monotonic clock, so it gives up before the store grants the lease to
 * another. A failed renewal is retried while time is left. Tested in leases.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { Leases } from './contract.js';

export interface HeldLease {
  readonly name: string;
  readonly token: number;
  /** Aborts when the lease is lost. */
  readonly signal: AbortSignal;
  /** Call before an irreversible step: checks with the store, and throws LEASE_LOST if the lease is no longer ours. */
  check(): Promise<void>;
}

export interface LeaseOptions {
  readonly holder: string;
  readonly ttlMs: number;
  /** Milliseconds that only grow. */
  readonly monotonic?: () => number;
}

export type UnderLease<T> = { readonly kind: 'done'; readonly result: T } | { readonly kind: 'held elsewhere' };

/** `underLease` with all arguments but the name and the work bound. */
export type Alone = <T>(name: string, work: (lease: HeldLease) => Promise<T>) => Promise<UnderLease<T>>;

export async function underLease<T>(
  leases: Leases,
  name: string,
  { holder, ttlMs, monotonic = () => performance.now() }: LeaseOptions,
  work: (lease: HeldLease) => Promise<T>,
): Promise<UnderLease<T>> {
  let until = monotonic() + ttlMs;
  const token = await leases.acquire({ name, holder, ttlMs });
  if (token === null) return { kind: 'held elsewhere' };
  const claim = { name, holder, token };
  const lost = new AbortController();
  const lose = (): void => lost.abort(new StenoError('LEASE_LOST', name));
  const renew = async (): Promise<void> => {
    const begun = monotonic();
    if (begun >= until || !(await leases.renew({ ...claim, ttlMs }))) lose();
    else until = begun + ttlMs;
  };
  const timer = setInterval(() => {
    renew().catch(() => {
      // The next try may succeed while time is left.
      if (monotonic() >= until) lose();
    });
  }, ttlMs / 3);
  timer.unref();
  const check = async (): Promise<void> => {
    if (!lost.signal.aborted) await renew();
    if (lost.signal.aborted) throw new StenoError('LEASE_LOST', name);
  };
  try {
    return { kind: 'done', result: await work({ name, token, signal: lost.signal, check }) };
  } finally {
    clearInterval(timer);
    // A lease that cannot be released expires.
    if (!lost.signal.aborted) await leases.release(claim).catch(() => undefined);
  }
}
