import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import type { LockRecord } from '#schemas/api/access/locks.js';
import type { LoginResult } from '#schemas/api/people/user-certificates.js';
import type { AccessRequest, RequestOptions, RequestView } from '#schemas/documents/access-request.js';
import { identityOf, loginPrincipal } from '#schemas/base/identity.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { parseX509UserNames } from '#schemas/kube/user-certificate.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { openState } from '#stores/state/open.js';
import { join } from 'node:path';
import {
  Cleanup,
  administrator,
  authorityIn,
  clientOf,
  identityOf as serviceIdentity,
  onSocket,
  person,
  signer,
  temporaryFolder,
} from '../testing/authority.js';
import type { Administrator, Signer } from '../testing/authority.js';
import type { RunningAuthority } from '../app.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const refusal = (code: string) => expect.objectContaining({ code });
const rolesOf = {
  dev: {
    allow: {
      nodes: { env: 'dev' },
      logins: ['{user}'],
      request: [
        { roles: ['dba'], max_duration: '2h', thresholds: { approve: 2 } },
        { nodes: { env: 'prod' }, logins: ['deploy'], max_duration: '1h' },
      ],
    },
  },
  dba: { allow: { nodes: { '*': '*' }, logins: ['postgres'] } },
  secret: { allow: { nodes: { '*': '*' }, logins: ['root'] } },
  lead: { allow: { approve: [{ roles: ['dba'] }, { nodes: { env: 'prod' } }], request: [{ roles: ['dba'] }] } },
} as const;

interface Scene {
  readonly authority: RunningAuthority;
  readonly dataDir: string;
  readonly admin: Administrator;
  readonly dev: Signer;
  readonly leads: readonly Signer[];
  readonly as: (name: string, roles: readonly string[]) => Promise<Signer>;
  readonly time: { now: number };
}

async function scene(): Promise<Scene> {
  const dataDir = temporaryFolder(cleanup);
  const time = { now: Date.now() };
  const authority = await authorityIn(dataDir, cleanup, {}, () => Math.max(Date.now(), time.now));
  const admin = await administrator(authority, cleanup);
  for (const [name, role] of Object.entries(rolesOf)) await admin.call('PUT', `/v1/roles/${name}`, { kind: 'role', name, ...role });
  for (const [name, env] of [
    ['web-1', 'prod'],
    ['web-2', 'prod'],
    ['lab', 'dev'],
  ] as const) {
    await admin.call('PUT', `/v1/nodes/${name}`, { name, kind: 'openssh', address: '127.0.0.1:22', labels: { env }, host_keys: [] });
  }
  const as = async (name: string, roles: readonly string[]): Promise<Signer> => {
    await admin.call('POST', '/v1/users', { name, roles });
    return person(authority, dataDir, admin, name, roles, cleanup);
  };
  const leads = [await as('lena', ['lead']), await as('luis', ['lead']), await as('lin', ['lead'])];
  return { authority, dataDir, admin, dev: await as('dan', ['dev']), leads, as, time };
}

const ask = (who: Signer, more: object = { roles: ['dba'] }): Promise<AccessRequest> =>
  who.call('POST', '/v1/requests', { reason: 'INC-7: slow queries', ...more }) as Promise<AccessRequest>;
const review = (who: Signer, { id }: Pick<AccessRequest, 'id'>, decision: 'approve' | 'deny', reason = ''): Promise<RequestView> =>
  who.call('POST', `/v1/requests/${id}/review`, { decision, reason }) as Promise<RequestView>;
const use = (who: Signer, ids: readonly string[]): Promise<LoginResult> =>
  who.call('POST', '/v1/request-certificate', { public_key: formatPublicLine(who.key.publicBlob), requests: ids }) as Promise<LoginResult>;
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'ok',
    (error: { code: string }) => error.code,
  );

async function auditOf(dataDir: string, event: string): Promise<readonly AuditRow[]> {
  const state = await openState({ kind: 'sqlite', file: join(dataDir, 'authority', 'state.sqlite') });
  const rows = await state.selectFrom('audit_outbox').select('row').execute();
  await state.destroy();
  return rows.map(({ row }) => JSON.parse(row) as AuditRow).filter((row) => row.event === event);
}

describe('a request for a role', () => {
  test('counts once enough have agreed, and its certificate carries it, ends with it, and is worth the role', async () => {
    const { authority, dataDir, dev, leads } = await scene();
    const request = await ask(dev, { roles: ['dba'], duration: 600_000 });
    expect(request).toMatchObject({
      user: 'dan',
      state: 'pending',
      items: [{ kind: 'role', role: 'dba' }],
      thresholds: { approve: 2, deny: 1 },
      duration: 600_000,
    });
    expect((await review(leads[0]!, request, 'approve', 'known incident')).state).toBe('pending');
    expect(await codeOf(use(dev, [request.id]))).toBe('REQUEST_OVER');
    const approved = await review(leads[1]!, request, 'approve');
    expect(approved.state).toBe('approved');

    const login = await use(dev, [request.id]);
    const certificate = parseCertificate(parseAuthorizedLine(login.certificate).blob);
    expect(identityOf(certificate)).toMatchObject({ user: 'dan', roles: ['dev'], requests: [request.id] });
    expect(certificate.principals).toEqual(['dan', 'postgres'].map(loginPrincipal));
    expect(login.valid_before).toBe(Math.floor(approved.ends_at! / 1000) * 1000);
    expect(login.x509_certificate).toBeUndefined();

    const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw' }, cleanup);
    const session = {
      user: 'dan',
      login: 'postgres',
      node: 'web-1',
      public_key: formatPublicLine(generateKey().publicBlob),
      source_address: '127.0.0.1',
    };
    const blob = (line: string): string => Buffer.from(parseAuthorizedLine(line).blob).toString('base64');
    await gateway.sessionCertificate({
      ...session,
      user_certificate: blob(login.certificate),
      proof: signUserProof(dev.key, parseAuthorizedLine(login.certificate).blob, { userName: 'postgres' }),
    });
    await expect(
      gateway.sessionCertificate({
        ...session,
        user_certificate: Buffer.from(dev.certificate).toString('base64'),
        proof: signUserProof(dev.key, dev.certificate, { userName: 'postgres' }),
      }),
    ).rejects.toEqual(refusal('CERT_WRONG_PRINCIPAL'));
    expect((await auditOf(dataDir, 'request.approve')).map(({ actor, target, outcome }) => [actor, target, outcome])).toEqual([
      ['lena', request.id, 'success'],
      ['luis', request.id, 'success'],
    ]);
  });

  test('is in the certificate for TLS too, which ends with it and names no role that was granted', async () => {
    const { dev, leads } = await scene();
    const request = await ask(dev, { roles: ['dba'], duration: 600_000 });
    await review(leads[0]!, request, 'approve');
    const { ends_at: end } = await review(leads[1]!, request, 'approve');
    const tlsKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' });
    const both = (requests: readonly string[], tls_key: unknown = tlsKey): Promise<LoginResult> =>
      dev.call('POST', '/v1/request-certificate', {
        public_key: formatPublicLine(dev.key.publicBlob),
        tls_key,
        requests,
      }) as Promise<LoginResult>;
    const login = await both([request.id]);
    const x509 = new X509Certificate(login.x509_certificate!);
    expect(x509.subject.split('\n')).toEqual(['O=dev', 'CN=dan']);
    const namesOf = (certificate: X509Certificate): readonly string[] =>
      certificate.subjectAltName!.split(', ').map((name) => name.slice(4));
    expect(parseX509UserNames(namesOf(x509))).toEqual({ traits: {}, mfa: null, requests: [request.id] });
    expect(new Date(x509.validTo).getTime()).toBe(Math.floor(end! / 1000) * 1000);
    expect(x509.verify(new X509Certificate(login.x509_user_ca_pem).publicKey)).toBe(true);
    expect(parseX509UserNames(namesOf(new X509Certificate((await both([])).x509_certificate!)))).toMatchObject({ requests: [] });
    expect(await codeOf(both([request.id], 'no key'))).toBe('KEY_GARBLED');
  });

  test('that is cancelled no longer counts, also for certificates that carry it', async () => {
    const { authority, admin, dev, leads } = await scene();
    const request = await ask(dev);
    for (const lead of leads.slice(0, 2)) await review(lead, request, 'approve');
    const login = await use(dev, [request.id]);
    const granted = signer(authority, dev.key, parseAuthorizedLine(login.certificate).blob, admin.login.service_ca_pem, cleanup);
    await granted.call('GET', '/v1/nodes');
    expect(await admin.call('POST', `/v1/requests/${request.id}/cancel`, { reason: 'over' })).toMatchObject({ state: 'cancelled' });
    await expect(granted.call('GET', '/v1/nodes')).rejects.toEqual(refusal('REQUEST_OVER'));
    await dev.call('GET', '/v1/nodes');
  });

  test('ends by itself, before it is decided and after', async () => {
    const { dataDir, dev, leads, time } = await scene();
    const [old, used] = [await ask(dev), await ask(dev)];
    for (const lead of leads.slice(0, 2)) await review(lead, used, 'approve');
    time.now = Date.now() + 25 * 3_600_000;
    // The certificates of this scene have expired by then too, so read the state.
    const state = await openState({ kind: 'sqlite', file: join(dataDir, 'authority', 'state.sqlite') });
    await expect
      .poll(
        async () =>
          Object.fromEntries(
            (await state.selectFrom('access_requests').select(['id', 'state']).execute()).map(({ id, state: is }) => [id, is]),
          ),
        { timeout: 20_000 },
      )
      .toEqual({ [old.id]: 'expired', [used.id]: 'over' });
    await state.destroy();
    expect((await auditOf(dataDir, 'request.expire')).map(({ target }) => target)).toEqual([old.id]);
    expect((await auditOf(dataDir, 'request.end')).map(({ target }) => target)).toEqual([used.id]);
  }, 30_000);

  test('is asked again when it is used: roles, approvers and the requester are those of today', async () => {
    const { admin, dev, leads, as } = await scene();
    const eve = await as('eve', ['dev']);
    const [one, two] = [await ask(dev), await ask(eve)];
    for (const request of [one, two]) for (const lead of leads.slice(0, 2)) await review(lead, request, 'approve');
    await admin.call('POST', '/v1/users/lena/disable', {});
    await expect(use(dev, [one.id])).rejects.toThrow('1 still counts, and 2 are needed');
    await admin.call('POST', '/v1/users/lena/enable');
    await use(dev, [one.id]);
    const three = await ask(await as('finn', ['dev']));
    for (const lead of leads.slice(0, 2)) await review(lead, three, 'approve');
    await admin.call('DELETE', '/v1/users/finn');
    // The name is locked as long as certificates of the first user may be in use.
    const locks = (await admin.call('GET', '/v1/locks')) as LockRecord[];
    for (const { id, target } of locks) if (target === 'finn') await admin.call('DELETE', `/v1/locks/${id}`);
    await expect(as('finn', ['dev'])).rejects.toEqual(refusal('USER_NAME_USED'));
    await admin.call('POST', '/v1/user-names/finn/release');
    await expect(use(await as('finn', ['dev']), [three.id])).rejects.toEqual(refusal('NOT_FOUND'));
    await admin.call('PUT', '/v1/roles/dev', { kind: 'role', name: 'dev', allow: { nodes: { env: 'dev' }, logins: ['{user}'] } });
    await expect(use(eve, [two.id])).rejects.toEqual(refusal('ACCESS_DENIED'));
  });

  test('of many approvals at once, each person counts once and one of them makes it enough', async () => {
    const { dataDir, dev, leads } = await scene();
    for (let round = 0; round < 5; round++) {
      const request = await ask(dev);
      const results = await Promise.all([...leads, ...leads, ...leads].map((lead) => codeOf(review(lead, request, 'approve'))));
      expect(results.filter((code) => code === 'ok')).toHaveLength(2);
      expect(new Set(results)).toEqual(
        new Set(['ok', ...results.filter((code) => code === 'REQUEST_DECIDED' || code === 'REVIEWED_ALREADY')]),
      );
    }
    const rows = await auditOf(dataDir, 'request.approve');
    expect(rows.filter(({ data }) => (JSON.parse(data) as { state: string }).state === 'approved')).toHaveLength(5);
  });

  test('is denied by one who denies, whoever approves at the same time', async () => {
    const { dev, leads } = await scene();
    for (let round = 0; round < 5; round++) {
      const request = await ask(dev);
      await review(leads[0]!, request, 'approve');
      const [approved, denied] = await Promise.all([
        codeOf(review(leads[1]!, request, 'approve')),
        codeOf(review(leads[2]!, request, 'deny')),
      ]);
      expect([approved, denied].filter((code) => code === 'ok')).toHaveLength(1);
      expect(((await dev.call('GET', `/v1/requests/${request.id}`)) as RequestView).state).toBe(denied === 'ok' ? 'denied' : 'approved');
    }
  });
});

describe('a request for a node', () => {
  test('gives the logins of the rule on that node and nothing else', async () => {
    const { authority, dev, leads } = await scene();
    const request = await ask(dev, { nodes: ['web-1'] });
    expect(request.items).toEqual([{ kind: 'nodes', role: 'dev', nodes: ['web-1'], logins: ['deploy'] }]);
    await review(leads[0]!, request, 'approve');
    const login = await use(dev, [request.id]);
    const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw' }, cleanup);
    const at = (node: string, name: string): Promise<string> =>
      codeOf(
        gateway.sessionCertificate({
          user: 'dan',
          login: name,
          node,
          public_key: formatPublicLine(generateKey().publicBlob),
          source_address: '127.0.0.1',
          user_certificate: Buffer.from(parseAuthorizedLine(login.certificate).blob).toString('base64'),
          proof: signUserProof(dev.key, parseAuthorizedLine(login.certificate).blob, { userName: name }),
        }),
      );
    expect({
      web1: await at('web-1', 'deploy'),
      web2: await at('web-2', 'deploy'),
      own: await at('lab', 'dan'),
      labDeploy: await at('lab', 'deploy'),
      web1Own: await at('web-1', 'dan'),
    }).toEqual({ web1: 'ok', web2: 'ACCESS_DENIED', own: 'ok', labDeploy: 'ACCESS_DENIED', web1Own: 'ACCESS_DENIED' });
  });
});

describe('nobody', () => {
  const cases: readonly (readonly [string, (scene: Scene) => Promise<unknown>, string])[] = [
    ['asks for a role that no rule names', ({ dev }) => ask(dev, { roles: ['secret'] }), 'ACCESS_DENIED'],
    ['asks for a node that no rule names', ({ dev }) => ask(dev, { nodes: ['lab'] }), 'ACCESS_DENIED'],
    ['asks for a login that the rule does not name', ({ dev }) => ask(dev, { nodes: ['web-1'], logins: ['root'] }), 'ACCESS_DENIED'],
    ['asks for longer than the rule allows', ({ dev }) => ask(dev, { roles: ['dba'], duration: 3 * 3_600_000 }), 'ACCESS_DENIED'],
    ['asks for nothing', ({ dev }) => ask(dev, {}), 'BAD_REQUEST'],
    ['asks without saying why', ({ dev }) => ask(dev, { roles: ['dba'], reason: '  ' }), 'BAD_REQUEST'],
    ['asks for what does not exist', ({ dev }) => ask(dev, { nodes: ['nowhere'] }), 'NODE_UNKNOWN'],
    ['reviews their own request', async ({ leads }) => review(leads[0]!, await ask(leads[0]!), 'approve'), 'SELF_REVIEW'],
    ['denies their own request either', async ({ leads }) => review(leads[0]!, await ask(leads[0]!), 'deny'), 'SELF_REVIEW'],
    [
      'reviews who may not, or learns that it exists',
      async ({ dev, as }) => review(await as('nina', ['dev']), await ask(dev), 'approve'),
      'NOT_FOUND',
    ],
    [
      'reviews through what was granted',
      async ({ authority, admin, dev, leads, as }) => {
        // Requests a role that may approve: an approval through a granted role would otherwise lead to the next one.
        await admin.call('PUT', '/v1/roles/dev', {
          kind: 'role',
          name: 'dev',
          allow: { logins: ['{user}'], request: [{ roles: ['lead', 'dba'] }] },
        });
        await admin.call('PUT', '/v1/roles/lead', { kind: 'role', name: 'lead', allow: { approve: [{ roles: ['*'] }] } });
        const eve = await as('eve', ['dev']);
        const request = await ask(eve, { roles: ['lead'] });
        await review(leads[0]!, request, 'approve');
        const login = await use(eve, [request.id]);
        return review(
          signer(authority, eve.key, parseAuthorizedLine(login.certificate).blob, admin.login.service_ca_pem, cleanup),
          await ask(dev),
          'approve',
        );
      },
      'NOT_FOUND',
    ],
    [
      'uses the request of another',
      async ({ dev, leads, as }) => {
        const request = await ask(dev);
        for (const lead of leads.slice(0, 2)) await review(lead, request, 'approve');
        return use(await as('eve', ['dev']), [request.id]);
      },
      'NOT_FOUND',
    ],
    [
      'reviews twice',
      async ({ dev, leads }) => {
        const request = await ask(dev);
        await review(leads[0]!, request, 'approve');
        return review(leads[0]!, request, 'approve');
      },
      'REVIEWED_ALREADY',
    ],
    [
      'reviews what was decided',
      async ({ dev, leads }) => {
        const request = await ask(dev);
        await review(leads[0]!, request, 'deny');
        return review(leads[1]!, request, 'approve');
      },
      'REQUEST_DECIDED',
    ],
    [
      'makes more than twenty open requests',
      async ({ dev }) => {
        for (let i = 0; i < 20; i++) await ask(dev);
        return ask(dev);
      },
      'TOO_MANY',
    ],
    [
      'cancels the request of another',
      async ({ dev, leads }) => leads[0]!.call('POST', `/v1/requests/${(await ask(dev)).id}/cancel`, {}),
      'ACCESS_DENIED',
    ],
    [
      'asks over the socket',
      ({ authority }) => onSocket(authority, { method: 'POST', target: '/v1/requests', body: { roles: ['dba'], reason: 'x' } }),
      'NOT_FOUND',
    ],
  ];
  test.each(cases)('%s', async (_, act, code) => {
    await expect(scene().then(act)).rejects.toEqual(refusal(code));
  });
});

test('each sees their own requests and those they may review, and what they could ask for', async () => {
  const { dev, leads, as } = await scene();
  const [mine, other] = [await ask(dev), await ask(await as('eve', ['dev']), { nodes: ['web-2'] })];
  const list = async (who: Signer) =>
    ((await who.call('GET', '/v1/requests')) as RequestView[]).map(({ id, may_review: may, may_cancel: end }) => [id, may, end]);
  expect(await list(dev)).toEqual([[mine.id, false, true]]);
  expect(new Set(await list(leads[0]!))).toEqual(
    new Set([
      [mine.id, true, false],
      [other.id, true, false],
    ]),
  );
  expect(await dev.call('GET', '/v1/request-options')).toEqual({
    roles: [{ name: 'dba', description: '', max_duration: 7_200_000, approvals: 2 }],
    nodes: ['web-1', 'web-2'].map((name) => ({ name, logins: ['deploy'], max_duration: 3_600_000, approvals: 1 })),
  } satisfies RequestOptions);
});

test('a viewer relays for a web session, whose user the audit names, with the address they came from', async () => {
  const { authority, dataDir, admin, dev } = await scene();
  const viewer = await serviceIdentity(authority, { kind: 'viewer', name: 'web' }, cleanup);
  const { url_token: token } = (await dev.call('POST', '/v1/sign-in-link', {})) as { url_token: string };
  const place = {
    kind: 'tls',
    url: authority.addresses.tls,
    agent: new (await import('node:https')).Agent(viewer.tlsClientOptions(['authority'])),
  } as const;
  cleanup.add(() => place.agent.destroy());
  const web = (await callAuthority(place, { method: 'POST', target: '/v1/sign-in', body: { token } })) as { token: string };
  const headers = { 'x-steno-web-session': web.token, 'x-steno-client': '192.0.2.7' };
  const made = (await callAuthority(place, {
    method: 'POST',
    target: '/v1/requests',
    headers,
    body: { roles: ['dba'], reason: 'from the page' },
  })) as AccessRequest;
  expect(made.user).toBe('dan');
  await expect(
    callAuthority(place, { method: 'POST', target: `/v1/requests/${made.id}/review`, headers, body: { decision: 'approve' } }),
  ).rejects.toEqual(refusal('SELF_REVIEW'));
  await expect(callAuthority(place, { method: 'GET', target: '/v1/requests' })).rejects.toEqual(refusal('NOT_SIGNED_IN'));
  expect(await auditOf(dataDir, 'request.create')).toMatchObject([{ actor: 'dan', source_address: '192.0.2.7', outcome: 'success' }]);
  expect(await auditOf(dataDir, 'request.review')).toMatchObject([
    { actor: 'dan', source_address: '192.0.2.7', outcome: 'failure', code: 'SELF_REVIEW', target: made.id },
  ]);
  expect(admin.login.user).not.toBe('dan');
});
