/** Leases for services that have no access to the state store (stores/leases/contract.ts). */
import { z } from 'zod';
import { endpoint, noAnswer, noParams } from '../../endpoint/endpoint.js';
import { record, texts } from '../../endpoint/fields.js';

export const MAX_LEASE_MS = 600_000;
/** Names in one list of held leases. */
export const MAX_HELD_NAMES = 1_000;

/** Prefix of the lease names of each kind of service. */
export const leaseNames: Readonly<Record<string, string>> = { ingest: 'seal/', analyzer: 'analyze/' };

const lease = {
  name: z.string().regex(/^(?:seal|analyze)\/[A-Za-z0-9_-]{1,64}$/, 'is not the name of a lease'),
  run: z.string().regex(/^[a-z0-9]{1,32}$/, 'is not a run'),
};
const ttlMs = z.number().int().min(1).max(MAX_LEASE_MS);
const token = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

export const acquireLease = endpoint({
  method: 'POST',
  path: '/v1/leases/acquire',
  summary: 'Acquire a lease for a run of the calling service.',
  admits: ['ingest', 'analyzer'],
  event: 'lease.acquire',
  params: noParams,
  body: z.strictObject({ ...lease, ttl_ms: ttlMs }),
  /** Null while another process holds the lease. */
  answer: record({ token: z.int().nullable() }),
  errors: [],
});

export const renewLease = endpoint({
  method: 'POST',
  path: '/v1/leases/renew',
  summary: 'Renew a lease; `held` is false if it is no longer held.',
  admits: ['ingest', 'analyzer'],
  event: 'lease.renew',
  params: noParams,
  body: z.strictObject({ ...lease, token, ttl_ms: ttlMs }),
  answer: record({ held: z.boolean() }),
  errors: [],
});

export const releaseLease = endpoint({
  method: 'POST',
  path: '/v1/leases/release',
  summary: 'Release a lease.',
  admits: ['ingest', 'analyzer'],
  event: 'lease.release',
  params: noParams,
  body: z.strictObject({ ...lease, token }),
  answer: noAnswer,
  errors: [],
});

export const listHeldLeases = endpoint({
  method: 'POST',
  path: '/v1/leases/held',
  summary: "List the names of the leases held by services of the caller's kind that begin with a prefix.",
  admits: ['ingest', 'analyzer'],
  event: 'lease.list',
  params: noParams,
  body: z.strictObject({
    prefix: z.string().regex(/^(?:seal|analyze)\/[A-Za-z0-9_-]{0,64}$/, 'is not the beginning of the name of a lease'),
  }),
  answer: record({ names: texts }),
  errors: [],
});

export const leaseEndpoints = [acquireLease, renewLease, releaseLease, listHeldLeases] as const;
