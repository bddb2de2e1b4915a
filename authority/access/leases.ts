/**
 * Leases for services without access to the state store: ingests decide through the authority which one seals a session,
 * analyzers which ones share the sessions.
 *
 * The holder is the service named in the certificate, together with its run; no other service can renew or release its
 * leases. Each kind of service may use only the lease names of its own table. Contract: stores/leases/contract.ts. Tested in
 * leases.test.ts.
 */
import { acquireLease, leaseNames, listHeldLeases, releaseLease, renewLease } from '#schemas/api/services/leases.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { Leases } from '#stores/leases/contract.js';
import { handle } from '../http/server.js';
import type { Principal, Route } from '../http/server.js';

export function leaseRoutes(leases: Leases): readonly Route[] {
  const serviceFor = (principal: Principal, name: string): string => {
    if (principal.kind !== 'service' || !name.startsWith(leaseNames[principal.service.kind] ?? '/')) throw new StenoError('ACCESS_DENIED');
    return formatServiceName(principal.service);
  };
  const holder = (principal: Principal, { name, run }: { readonly name: string; readonly run: string }): string =>
    `${serviceFor(principal, name)}/${run}`;
  return [
    handle(acquireLease, async ({ principal, body }) => ({
      token: await leases.acquire({ name: body.name, holder: holder(principal, body), ttlMs: body.ttl_ms }),
    })),
    handle(renewLease, async ({ principal, body }) => ({
      held: await leases.renew({ name: body.name, holder: holder(principal, body), token: body.token, ttlMs: body.ttl_ms }),
    })),
    handle(listHeldLeases, async ({ principal, body: { prefix } }) => {
      serviceFor(principal, prefix);
      return { names: [...(await leases.held(prefix))] };
    }),
    handle(releaseLease, ({ principal, body }) => leases.release({ name: body.name, holder: holder(principal, body), token: body.token })),
  ];
}
