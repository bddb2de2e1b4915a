/** Leases that fail on demand: not done, or done but reported as failed. */
import { FaultPlan } from '../faults.js';
import type { LeaseClaim, LeaseRequest, Leases } from './contract.js';

export class FaultyLeases implements Leases {
  readonly faults = new FaultPlan<'acquire' | 'renew' | 'release' | 'held'>();
  readonly #inner: Leases;

  constructor(inner: Leases) {
    this.#inner = inner;
  }

  acquire(request: LeaseRequest): Promise<number | null> {
    return this.faults.run('acquire', () => this.#inner.acquire(request));
  }

  renew(claim: LeaseClaim & { readonly ttlMs: number }): Promise<boolean> {
    return this.faults.run('renew', () => this.#inner.renew(claim));
  }

  release(claim: LeaseClaim): Promise<void> {
    return this.faults.run('release', () => this.#inner.release(claim));
  }

  held(prefix: string): Promise<readonly string[]> {
    return this.faults.run('held', () => this.#inner.held(prefix));
  }
}
