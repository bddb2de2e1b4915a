import { connect } from 'node:tls';
import { Agent } from 'node:https';
import { connect as connectSocket } from 'node:net';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import type { AuthorityCall } from '#runtime/service/authority-http.js';
import { signRequest } from '#runtime/http/request-auth.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { administrator, authorityIn, Cleanup, clientOf, identityOf, onSocket, temporaryFolder } from '../testing/authority.js';
import type { RunningAuthority } from '../app.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
/** One authority for the tables of refusals, which change nothing. */
const lasting = new Cleanup();
afterAll(() => lasting.run());
let running: Promise<RunningAuthority> | undefined;
const shared = (): Promise<RunningAuthority> => (running ??= authorityIn(temporaryFolder(lasting), lasting));
const refusal = (code: string): unknown => expect.objectContaining({ code });
const key = (): string => formatPublicLine(generateKey().publicBlob);

async function asService(
  authority: RunningAuthority,
  kind: ServiceIdentity['kind'],
  name = 'x-1',
): Promise<(call: AuthorityCall) => Promise<unknown>> {
  const identity = await identityOf(authority, { kind, name }, cleanup);
  const agent = new Agent({ ...identity.tlsClientOptions(['authority']), maxCachedSessions: 0 });
  cleanup.add(() => agent.destroy());
  return (call) => callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, call);
}

describe('a service of the wrong kind', () => {
  test.each([
    ['ingest', 'POST', '/v1/session-certificate', {}],
    ['viewer', 'POST', '/v1/session-certificate', {}],
    ['gateway', 'POST', '/v1/sign-in', { token: 'x' }],
    ['gateway', 'PUT', '/v1/nodes/self', {}],
    ['agent', 'PUT', '/v1/nodes/web-1', {}],
    ['agent', 'GET', '/v1/web-session', undefined],
    ['gateway', 'PUT', '/v1/roles/admin', {}],
    ['ingest', 'PUT', '/v1/locks/a', {}],
    ['ingest', 'POST', '/v1/host-certificate', { public_key: 'x', name: 'x' }],
  ] as const)('%s may not %s %s', async (kind, method, target, body) => {
    const call = await asService(await shared(), kind);
    await expect(call({ method, target, ...(body === undefined ? {} : { body }) })).rejects.toEqual(refusal('ACCESS_DENIED'));
  });

  test('an agent gets a host certificate of its own name only, a gateway of known nodes only', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    await admin.call('PUT', '/v1/nodes/web-1', { name: 'web-1', kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] });
    const ask = (name: string): AuthorityCall => ({ method: 'POST', target: '/v1/host-certificate', body: { public_key: key(), name } });
    const agent = await asService(authority, 'agent', 'web-2');
    await expect(agent(ask('web-1'))).rejects.toEqual(refusal('ACCESS_DENIED'));
    await expect(agent(ask('web-2'))).resolves.toMatchObject({ certificate: expect.stringContaining('cert-v01') });
    const gateway = await asService(authority, 'gateway', 'gw-1');
    await expect(gateway(ask('web-9'))).rejects.toEqual(refusal('NODE_UNKNOWN'));
    await expect(gateway(ask('gw-1'))).rejects.toEqual(refusal('NODE_UNKNOWN'));
    await expect(gateway(ask('web-1'))).resolves.toBeDefined();
  });

  test('a gateway gets certificates with all its names for its further host keys, by its own certificate and no other', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    await admin.call('PUT', '/v1/nodes/web-1', { name: 'web-1', kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] });
    const [gateway, other] = [
      await clientOf(authority, { kind: 'gateway', name: 'gw-1', hostNames: ['gw.example.com'] }, cleanup),
      await clientOf(authority, { kind: 'gateway', name: 'gw-2', hostNames: ['elsewhere'] }, cleanup),
    ];
    const [own, foreign] = [gateway, other].map(({ identity }) => formatPublicLine(identity.hostCertificate())) as [string, string];
    const blob = await gateway.hostCertificate({ public_key: key(), name: 'gw-1', host_certificate: own });
    expect(parseCertificate(blob).principals).toEqual(parseCertificate(gateway.identity.hostCertificate()).principals);
    expect(parseCertificate(blob).principals).toContain('gw.example.com');
    await expect(gateway.hostCertificate({ public_key: key(), name: 'gw-1', host_certificate: foreign })).rejects.toEqual(
      refusal('ACCESS_DENIED'),
    );
    await expect(gateway.hostCertificate({ public_key: key(), name: 'web-1', host_certificate: own })).rejects.toEqual(
      refusal('BAD_REQUEST'),
    );
    await expect(admin.call('POST', '/v1/host-certificate', { public_key: key(), name: 'gw-1', host_certificate: own })).rejects.toEqual(
      refusal('BAD_REQUEST'),
    );
  });
});

describe('the TLS listener', () => {
  test('hides what belongs to the socket, and refuses callers without certificate or signature', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    for (const target of ['/v1/login', '/v1/enroll'])
      await expect(admin.call('POST', target, { public_key: key() })).rejects.toEqual(refusal('NOT_FOUND'));
    const agent = new Agent({ ca: admin.login.service_ca_pem, checkServerIdentity: () => undefined });
    cleanup.add(() => agent.destroy());
    const call = (more: object): Promise<unknown> =>
      callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method: 'GET', target: '/v1/nodes', ...more });
    await expect(call({})).rejects.toEqual(refusal('NOT_SIGNED_IN'));
    await expect(call({ headers: { authorization: 'Steno nonsense' } })).rejects.toEqual(refusal('NOT_SIGNED_IN'));
  });

  test('does not speak TLS 1.1', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const { hostname, port } = new URL(authority.addresses.tls);
    const failed = await new Promise((resolve) => {
      const socket = connect({
        host: hostname,
        port: Number(port),
        maxVersion: 'TLSv1.1',
        minVersion: 'TLSv1',
        rejectUnauthorized: false,
        ciphers: 'DEFAULT@SECLEVEL=0',
      });
      socket.on('secureConnect', () => resolve(null)).on('error', resolve);
    });
    expect(failed).toBeInstanceOf(Error);
  });

  test('takes a signed request once, unaltered, and from now', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    const agent = new Agent({ ca: admin.login.service_ca_pem, checkServerIdentity: () => undefined });
    cleanup.add(() => agent.destroy());
    const node = { name: 'web-1', kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] };
    const body = Buffer.from(JSON.stringify(node));
    const send = (authorization: string, sent: unknown = node, target = '/v1/nodes/web-1'): Promise<unknown> =>
      callAuthority(
        { kind: 'tls', url: authority.addresses.tls, agent },
        { method: 'PUT', target, body: sent, headers: { authorization } },
      );
    const signed = (time?: number): string => signRequest(admin.key, admin.certificate, 'PUT', '/v1/nodes/web-1', body, time);
    const once = signed();
    await expect(send(once)).resolves.toMatchObject(node);
    await expect(send(once)).rejects.toEqual(refusal('REQUEST_REPLAYED'));
    await expect(send(signed(), { ...node, address: 'evil:22' })).rejects.toEqual(refusal('CERT_BAD_SIGNATURE'));
    await expect(send(signed(), node, '/v1/nodes/web-2')).rejects.toEqual(refusal('CERT_BAD_SIGNATURE'));
    await expect(send(signed(Date.now() - 61_000))).rejects.toEqual(refusal('REQUEST_REPLAYED'));
    await expect(send(signed(Date.now() + 120_000))).rejects.toEqual(refusal('REQUEST_REPLAYED'));
    await expect(send(signRequest(generateKey(), admin.certificate, 'PUT', '/v1/nodes/web-1', body))).rejects.toEqual(
      refusal('CERT_BAD_SIGNATURE'),
    );
  });
});

describe('bad input', () => {
  const node = (name: string): Record<string, unknown> => ({ name, kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] });

  test.each([
    ['PUT', '/v1/nodes/web-1', { ...node('web-1'), extra: 1 }, 'BAD_REQUEST'],
    ['PUT', '/v1/nodes/web-1', node('web-2'), 'BAD_REQUEST'],
    ['PUT', '/v1/nodes/..%2f..%2fetc', node('../../etc'), 'BAD_REQUEST'],
    ['PUT', '/v1/nodes/a..b', node('a..b'), 'BAD_REQUEST'],
    ['PUT', '/v1/nodes/%00', node('\0'), 'BAD_REQUEST'],
    ['PUT', '/v1/nodes/-oProxyCommand=x', node('-oProxyCommand=x'), 'BAD_REQUEST'],
    ['PUT', '/v1/nodes/web-1', { ...node('web-1'), address: '-oProxyCommand=x:22' }, 'BAD_REQUEST'],
    ['PUT', '/v1/nodes/web-1', { ...node('web-1'), address: 'h:70000' }, 'BAD_REQUEST'],
    ['PUT', '/v1/nodes/web-1', { ...node('web-1'), host_keys: ['ssh-ed25519 AAAA'] }, 'BAD_REQUEST'],
    ['PUT', '/v1/roles/a', { kind: 'role', name: 'a', allow: { nodes: {}, logins: ['-x'] } }, 'BAD_REQUEST'],
    ['PUT', '/v1/roles/a', { kind: 'role', name: 'a', typo: true }, 'BAD_REQUEST'],
    ['PUT', '/v1/locks/a', { id: 'a', target_kind: 'user', target: 'x', reason: '', expires_at: 1 }, 'BAD_REQUEST'],
    ['DELETE', '/v1/nodes/nobody', undefined, 'NODE_UNKNOWN'],
    ['DELETE', '/v1/locks/none', undefined, 'NOT_FOUND'],
    ['GET', '/v1/nodes?x=1', undefined, 'BAD_REQUEST'],
    ['GET', '/v1/none', undefined, 'NOT_FOUND'],
    ['PUT', '/v1/nodes/web-1', { ...node('web-1'), labels: { a: 'x'.repeat(300_000) } }, 'TOO_LARGE'],
  ] as const)('%s %s %j is %s', async (method, target, body, code) => {
    const admin = await administrator(await shared(), cleanup);
    await expect(admin.call(method, target, body)).rejects.toEqual(refusal(code));
    expect(await admin.call('GET', '/v1/nodes')).toEqual([]);
  });

  test.each([
    ['/v1/login', { public_key: 'ssh-rsa AAAA' }, 'KEY_GARBLED'],
    ['/v1/login', { public_key: key(), more: 1 }, 'BAD_REQUEST'],
    ['/v1/login', {}, 'BAD_REQUEST'],
    ['/v1/enroll', { kind: 'gateway', name: '../x', service_key: 'x' }, 'BAD_REQUEST'],
    ['/v1/enroll', { kind: 'root', name: 'x', service_key: 'x' }, 'BAD_REQUEST'],
    ['/v1/enroll', { kind: 'gateway', name: 'gw/x', service_key: 'x' }, 'BAD_REQUEST'],
    ['/v1/enroll', { kind: 'gateway', name: 'gw', service_key: 'x' }, 'KEY_GARBLED'],
    ['/v1/enroll', { kind: 'gateway', name: 'gw', service_key: 'x', host_names: ['*'] }, 'BAD_REQUEST'],
  ] as const)('%s %j on the socket is %s', async (target, body, code) => {
    await expect(onSocket(await shared(), { method: 'POST', target, body })).rejects.toEqual(refusal(code));
  });

  test('random bytes on the socket and on TLS end only their own connection', async () => {
    const authority = await shared();
    const { port } = new URL(authority.addresses.tls);
    for (const where of [{ path: authority.addresses.socket }, { host: '127.0.0.1', port: Number(port) }]) {
      await new Promise<void>((resolve) => {
        const socket = connectSocket(where, () => socket.write(Buffer.from('\x16\x03\x01\xff\xff garbage \r\n\r\n')));
        socket
          .resume()
          .on('error', () => undefined)
          .on('close', () => resolve());
      });
    }
    await expect(onSocket(authority, { method: 'POST', target: '/v1/sign-in-link' })).resolves.toBeDefined();
  });
});

describe('web sessions', () => {
  test('a link works once, of twenty who race for it one wins', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const viewer = await clientOf(authority, { kind: 'viewer', name: 'local' }, cleanup);
    const { url_token: token } = (await onSocket(authority, { method: 'POST', target: '/v1/sign-in-link' })) as { url_token: string };
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => viewer.signIn(token)));
    const won = results.filter((result) => result.status === 'fulfilled');
    expect(won).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toEqual(refusal('LINK_USED'));
    const identity = won[0]!.value;
    expect(identity.roles.map(({ name }) => name)).toEqual(['admin']);
    expect(identity.token).not.toBe(token);
    await expect(viewer.webSession(identity.token)).resolves.toEqual(identity);
    await viewer.signOut(identity.token);
    await expect(viewer.webSession(identity.token)).rejects.toEqual(refusal('NOT_SIGNED_IN'));
    await expect(viewer.webSession('x')).rejects.toEqual(refusal('NOT_SIGNED_IN'));
  });

  test('links end after ten minutes, sessions after twelve hours', async () => {
    let shift = 0;
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => Date.now() + shift);
    const viewer = await clientOf(authority, { kind: 'viewer', name: 'local' }, cleanup);
    const link = async (): Promise<string> =>
      ((await onSocket(authority, { method: 'POST', target: '/v1/sign-in-link' })) as { url_token: string }).url_token;
    const [late, inTime] = [await link(), await link()];
    const { token } = await viewer.signIn(inTime);
    shift = 10 * 60_000 + 1;
    await expect(viewer.signIn(late)).rejects.toEqual(refusal('LINK_USED'));
    await expect(viewer.webSession(token)).resolves.toBeDefined();
    shift = 12 * 3_600_000 + 1;
    await expect(viewer.webSession(token)).rejects.toEqual(refusal('NOT_SIGNED_IN'));
  });
});
