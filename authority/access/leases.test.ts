/** Leases over HTTP, from services; and what an authority does under one of its own. */
import { afterEach, describe, expect, test } from 'vitest';
import { conformance } from '#stores/leases/conformance.js';
import type { Leases } from '#stores/leases/contract.js';
import { Cleanup, authorityIn, clientOf, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** The names of the suite as names of leases that ingest may hold. */
function named(leases: Leases): Leases {
  const name = (of: string): string => `seal/${of}`;
  return {
    acquire: (request) => leases.acquire({ ...request, name: name(request.name) }),
    renew: (claim) => leases.renew({ ...claim, name: name(claim.name) }),
    release: (claim) => leases.release({ ...claim, name: name(claim.name) }),
    held: async (prefix) => (await leases.held(name(prefix))).map((of) => of.slice('seal/'.length)),
  };
}

describe('leases through the authority', () => {
  const clock = { now: 0 };
  let folder: string | undefined;
  let client: Promise<Leases> | undefined;
  const open = (): Promise<Leases> => {
    if (folder === undefined) {
      folder = temporaryFolder(cleanup);
      cleanup.add(() => {
        folder = undefined;
        client = undefined;
      });
      clock.now = Date.now();
      const dir = folder;
      client = authorityIn(dir, cleanup, {}, () => clock.now).then(async (authority) =>
        named((await clientOf(authority, { kind: 'ingest', name: 'a' }, cleanup)).leases),
      );
    }
    return client!;
  };
  conformance(() => ({ open, clock }));
});

test('what one ingest holds another can neither renew nor release, and a gateway may ask for nothing', async () => {
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  const [one, other, gateway] = [
    (await clientOf(authority, { kind: 'ingest', name: 'one' }, cleanup)).leases,
    (await clientOf(authority, { kind: 'ingest', name: 'other' }, cleanup)).leases,
    (await clientOf(authority, { kind: 'gateway', name: 'gw' }, cleanup)).leases,
  ];
  const request = { name: 'seal/s', holder: 'run', ttlMs: 60_000 };
  const token = (await one.acquire(request))!;
  expect(await other.acquire(request)).toBeNull();
  expect(await other.renew({ ...request, token })).toBe(false);
  await other.release({ ...request, token });
  expect(await one.renew({ ...request, token })).toBe(true);
  await expect(gateway.acquire(request)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  expect(await other.held('seal/')).toEqual(['seal/s']);
  await expect(gateway.held('seal/')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await expect(one.held('analyze/')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await expect(one.acquire({ ...request, name: 'ca-rotation' })).rejects.toMatchObject({ code: 'BAD_REQUEST' });
});
