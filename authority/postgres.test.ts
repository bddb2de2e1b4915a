/** Two authorities on one PostgreSQL behave as one. The server is that of `stores/state/testing`. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { connectAuthority } from '#runtime/service/authority-client.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { signRequest } from '#runtime/http/request-auth.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import { openState } from '#stores/state/open.js';
import { postgresPrograms, startPostgres } from '#stores/state/testing/postgres-server.js';
import type { PostgresServer } from '#stores/state/testing/postgres-server.js';
import { administrator, authorityIn, Cleanup, clientOf, identityOf, onSocket, silent, temporaryFolder } from './testing/authority.js';
import type { RunningAuthority } from './app.js';

const programs = postgresPrograms();
const cleanup = new Cleanup();

describe.skipIf('missing' in programs)(`two authorities on one store${'missing' in programs ? `: ${programs.missing}` : ''}`, () => {
  let server: PostgresServer;
  let url: string;
  let one: RunningAuthority;
  let two: RunningAuthority;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    url = await server.newDatabase();
    const [first, second] = [temporaryFolder(cleanup), temporaryFolder(cleanup)];
    one = await authorityIn(first, cleanup, { state: { kind: 'postgres', url } });
    mkdirSync(join(second, 'authority'), { mode: 0o700 });
    copyFileSync(join(first, 'authority', 'seal.key'), join(second, 'authority', 'seal.key'));
    two = await authorityIn(second, cleanup, { state: { kind: 'postgres', url }, name: 'second' });
  });
  afterEach(() => cleanup.run());

  const lock: Lock = { id: 'l-1', target_kind: 'user', target: 'mallory', reason: 'r', expires_at: null };

  test('the certificates of one count at the other', async () => {
    const admin = await administrator(one, cleanup);
    const agent = new Agent({ ca: admin.login.service_ca_pem, checkServerIdentity: () => undefined });
    cleanup.add(() => agent.destroy());
    const roles = await callAuthority(
      { kind: 'tls', url: two.addresses.tls, agent },
      {
        method: 'GET',
        target: '/v1/roles',
        headers: { authorization: signRequest(admin.key, admin.certificate, 'GET', '/v1/roles') },
      },
    );
    expect(roles).toMatchObject([{ name: 'admin' }]);
  });

  test('what is changed at one is published by the other', async () => {
    const admin = await administrator(one, cleanup);
    const gateway = await clientOf(two, { kind: 'gateway', name: 'gw' }, cleanup);
    const heard = new Promise<Snapshot>((resolve) =>
      gateway.onChange((snapshot) => {
        if (snapshot.locks.length > 0) resolve(snapshot);
      }),
    );
    await admin.call('PUT', '/v1/locks/l-1', lock);
    expect((await heard).locks).toEqual([lock]);
  });

  test('a signed request that one took is refused by the other', async () => {
    const admin = await administrator(one, cleanup);
    const agent = new Agent({ ca: admin.login.service_ca_pem, checkServerIdentity: () => undefined });
    cleanup.add(() => agent.destroy());
    const authorization = signRequest(admin.key, admin.certificate, 'GET', '/v1/nodes');
    const send = (authority: RunningAuthority): Promise<unknown> =>
      callAuthority(
        { kind: 'tls', url: authority.addresses.tls, agent },
        { method: 'GET', target: '/v1/nodes', headers: { authorization } },
      );
    const outcomes = await Promise.allSettled([send(one), send(two)]);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'REQUEST_REPLAYED' } });
  });

  test('a sign-in link is taken once, whoever is asked', async () => {
    const { url_token } = (await onSocket(one, { method: 'POST', target: '/v1/sign-in-link' })) as { url_token: string };
    const viewers = [
      await clientOf(one, { kind: 'viewer', name: 'a' }, cleanup),
      await clientOf(two, { kind: 'viewer', name: 'b' }, cleanup),
    ];
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => viewers[i % 2]!.signIn(url_token)));
    const signedIn = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    expect(signedIn).toHaveLength(1);
    expect(
      outcomes
        .filter((outcome) => outcome.status === 'rejected')
        .every((outcome) => (outcome.reason as { code: string }).code === 'LINK_USED'),
    ).toBe(true);
    expect((await viewers[1]!.webSession(signedIn[0]!.token)).user).toBe((await viewers[0]!.webSession(signedIn[0]!.token)).user);
  });

  test('a place among the connections of a user is given once, whoever is asked', async () => {
    const gateways = [
      await clientOf(one, { kind: 'gateway', name: 'a' }, cleanup),
      await clientOf(two, { kind: 'gateway', name: 'b' }, cleanup),
    ];
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) =>
        gateways[i % 2]!.places.take({ run: String(i % 2).repeat(16), number: i + 1, user: 'ann', max: 2, ended: [] }),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    expect(outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [(outcome.reason as { code: string }).code] : []))).toEqual(
      Array(8).fill('SESSIONS_TOO_MANY'),
    );
  });

  test('no serial is given twice', async () => {
    const logins = await Promise.all(Array.from({ length: 8 }, (_, i) => administrator(i % 2 === 0 ? one : two, cleanup)));
    expect(logins).toHaveLength(8);
    const state = await openState({ kind: 'postgres', url });
    cleanup.add(() => state.destroy());
    const serials = (await state.selectFrom('certificates').select('serial').execute()).map(({ serial }) => serial);
    expect(new Set(serials).size).toBe(serials.length);
  });

  test('of two gateways that show the same connection of a user to two authorities, one gets a certificate', async () => {
    const admin = await administrator(one, cleanup);
    const node = { name: 'proven', kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] };
    const gateways = [
      await clientOf(one, { kind: 'gateway', name: 'gw' }, cleanup),
      await clientOf(two, { kind: 'gateway', name: 'gw-2' }, cleanup),
    ];
    const heard = Promise.all(
      gateways.map(
        (gateway) =>
          new Promise<void>((resolve) =>
            gateway.onChange(({ nodes }) => {
              if (nodes.some(({ name }) => name === 'proven')) resolve();
            }),
          ),
      ),
    );
    await admin.call('PUT', '/v1/nodes/proven', node);
    await heard;
    for (let round = 0; round < 10; round++) {
      const request = {
        user: admin.login.user,
        login: 'root',
        node: 'proven',
        public_key: formatPublicLine(generateKey().publicBlob),
        user_certificate: Buffer.from(admin.certificate).toString('base64'),
        source_address: '127.0.0.1',
        proof: signUserProof(admin.key, admin.certificate, { userName: 'root' }),
      };
      const outcomes = await Promise.all(
        gateways.map((gateway) =>
          gateway.sessionCertificate(request).then(
            () => 'issued',
            (error: { code: string }) => error.code,
          ),
        ),
      );
      expect(outcomes.sort()).toEqual(['USER_PROOF_REFUSED', 'issued']);
    }
  });

  test('goes on after the database was away', async () => {
    const admin = await administrator(one, cleanup);
    const gateway = await clientOf(two, { kind: 'gateway', name: 'gw' }, cleanup);
    await server.restart();
    const heard = new Promise<void>((resolve) =>
      gateway.onChange(({ locks }) => {
        if (locks.length > 0) resolve();
      }),
    );
    // The pool notices dead connections at their first use.
    const failures: string[] = [];
    for (let done = false; !done;)
      done = await admin.call('PUT', '/v1/locks/l-1', lock).then(
        () => true,
        (error: { code: string }) => {
          failures.push(error.code);
          return false;
        },
      );
    expect(new Set(failures)).toEqual(new Set(failures.length === 0 ? [] : ['STORE_UNAVAILABLE']));
    await heard;
    expect(gateway.current().locks).toEqual([lock]);
  });

  test('a stage that knows both goes on with the other when one ends', async () => {
    const identity = await identityOf(one, { kind: 'gateway', name: 'gw', hostNames: [] }, cleanup);
    const gateway = connectAuthority({ url: `${one.addresses.tls},${two.addresses.tls}`, identity }, { log: silent });
    cleanup.add(() => gateway.close());
    await gateway.ready();
    const again = new Promise<void>((resolve) => gateway.onChange(() => resolve()));
    await one.close();
    await again;
    const key = generateKey();
    await expect(
      gateway.hostCertificate({
        public_key: formatPublicLine(key.publicBlob),
        name: 'gw',
        host_certificate: formatPublicLine(identity.hostCertificate()),
      }),
    ).resolves.toBeInstanceOf(Buffer);
  });

  test('refuses to start with another seal key, and says so', async () => {
    await expect(authorityIn(temporaryFolder(cleanup), cleanup, { state: { kind: 'postgres', url }, name: 'third' })).rejects.toMatchObject(
      { code: 'SEAL_KEY_MISSING' },
    );
  });
});
