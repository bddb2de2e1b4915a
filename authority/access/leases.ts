/**
 * Leases for services that have no access to the state store: ingest asks the authority which of them seals a session.
 *
 * The holder is the service of the certificate and a run of it; what one service holds no other can renew or release. Names
 * are of a table: each kind of service has its own. Contract: stores/leases/contract.ts. Tested in leases.test.ts.
 */
import { acquireLease, releaseLease, renewLease } from '#schemas/api/services/leases.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { Leases } from '#stores/leases/contract.js';
import { handle } from '../http/server.js';
import type { Principal, Route } from '../http/server.js';

export function leaseRoutes(leases: Leases): readonly Route[] {
  const holder = (principal: Principal, of: string): string => {
    if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
    return `${formatServiceName(principal.service)}/${of}`;
  };
  return [
    handle(acquireLease, async ({ principal, body }) => ({
      token: await leases.acquire({ name: body.name, holder: holder(principal, body.run), ttlMs: body.ttl_ms }),
    })),
    handle(renewLease, async ({ principal, body }) => ({
      held: await leases.renew({ name: body.name, holder: holder(principal, body.run), token: body.token, ttlMs: body.ttl_ms }),
    })),
    handle(releaseLease, ({ principal, body }) =>
      leases.release({ name: body.name, holder: holder(principal, body.run), token: body.token }),
    ),
  ];
}
