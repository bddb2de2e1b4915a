/**
 * Leases for services that have no access to the state store: ingest asks the authority which of them seals a session.
 *
 * The holder is the service of the certificate and a run of it; what one service holds no other can renew or release. Names
 * are of a table: each kind of service has its own. Contract: stores/leases/contract.ts. Tested in leases.test.ts.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import { MAX_LEASE_MS } from '#stores/leases/contract.js';
import type { Leases } from '#stores/leases/contract.js';
import { route } from '../http/server.js';
import type { Principal, Route } from '../http/server.js';

const name = z.string().regex(/^seal\/[A-Za-z0-9_-]{1,64}$/, 'is not the name of a lease');
const run = z.string().regex(/^[a-z0-9]{1,32}$/, 'is not a run');
const ttlMs = z.number().int().min(1).max(MAX_LEASE_MS);
const token = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

export function leaseRoutes(leases: Leases): readonly Route[] {
  const holder = (principal: Principal, of: string): string => {
    if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
    return `${formatServiceName(principal.service)}/${of}`;
  };
  return [
    route(
      'POST /v1/leases/acquire',
      ['ingest'],
      'lease.acquire',
      z.strictObject({ name, run, ttl_ms: ttlMs }),
      async ({ principal, body }) => ({
        token: await leases.acquire({ name: body.name, holder: holder(principal, body.run), ttlMs: body.ttl_ms }),
      }),
    ),
    route(
      'POST /v1/leases/renew',
      ['ingest'],
      'lease.renew',
      z.strictObject({ name, run, token, ttl_ms: ttlMs }),
      async ({ principal, body }) => ({
        held: await leases.renew({ name: body.name, holder: holder(principal, body.run), token: body.token, ttlMs: body.ttl_ms }),
      }),
    ),
    route('POST /v1/leases/release', ['ingest'], 'lease.release', z.strictObject({ name, run, token }), ({ principal, body }) =>
      leases.release({ name: body.name, holder: holder(principal, body.run), token: body.token }),
    ),
  ];
}
