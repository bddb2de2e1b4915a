import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SessionCertificateRequest } from '#schemas/api/services/certificates.js';
import { roleSchema } from '#schemas/policy/role.js';
import { encodeBase64 } from '#schemas/ssh/base64.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { administrator, authorityIn, Cleanup, clientOf, temporaryFolder } from '../testing/authority.js';
import type { Administrator } from '../testing/authority.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });

let dir: string;
let admin: Administrator;
let gateway: AuthorityClient;
let request: SessionCertificateRequest;
const proven = (
  userName: string,
  who: { readonly key: Administrator['key']; readonly certificate: Uint8Array } = admin,
): Pick<SessionCertificateRequest, 'proof'> => ({ proof: signUserProof(who.key, who.certificate, { userName }) });

beforeEach(async () => {
  dir = temporaryFolder(cleanup);
  const authority = await authorityIn(dir, cleanup);
  admin = await administrator(authority, cleanup);
  gateway = await clientOf(authority, { kind: 'gateway', name: 'gw-1' }, cleanup);
  await admin.call('PUT', '/v1/nodes/web-1', { name: 'web-1', kind: 'openssh', address: 'h:22', labels: { env: 'prod' }, host_keys: [] });
  request = {
    user: admin.login.user,
    login: 'deploy',
    node: 'web-1',
    public_key: formatPublicLine(generateKey().publicBlob),
    user_certificate: encodeBase64(admin.certificate),
    source_address: '127.0.0.1',
    ...proven('deploy'),
  };
});

describe('a session certificate', () => {
  test('has the one login, five minutes, and no right to come back to a gateway', async () => {
    const blob = await gateway.sessionCertificate(request);
    const certificate = parseCertificate(blob);
    expect(certificate.principals).toEqual(['deploy', 'deploy@web-1']);
    expect(Number(certificate.validBefore) * 1000 - Date.now()).toBeLessThanOrEqual(300_000);
    expect([...certificate.criticalOptions]).toEqual([]);
    expect([...certificate.extensions.keys()].sort()).toEqual([
      'forwarding@steno',
      'permit-agent-forwarding',
      'permit-port-forwarding',
      'permit-pty',
      'permit-user-rc',
      'via@steno',
    ]);
    const file = join(dir, 'session-cert.pub');
    writeFileSync(file, formatPublicLine(blob));
    expect(execFileSync('ssh-keygen', ['-L', '-f', file], { encoding: 'utf8' })).toContain(
      `Key ID: "user=${admin.login.user} session via gateway/gw-1"`,
    );
    await expect(gateway.sessionCertificate({ ...request, user_certificate: encodeBase64(blob) })).rejects.toEqual(refusal('CERT_GARBLED'));
  });

  test('of a hundred at once are a hundred, each with its own serial', async () => {
    const blobs = await Promise.all(
      Array.from({ length: 100 }, (_, i) => gateway.sessionCertificate(i % 2 === 0 ? request : { ...request, ...proven('deploy') })),
    );
    expect(new Set(blobs.map((blob) => parseCertificate(blob).serial)).size).toBe(100);
  });

  test.each([
    ['an unknown node', { node: 'web-9' }, 'NODE_UNKNOWN'],
    ['another user', { user: 'mallory' }, 'CERT_WRONG_PRINCIPAL'],
    ['a login that is none', { login: '-l' }, 'BAD_REQUEST'],
    ['a garbled certificate', { user_certificate: 'AAAA' }, 'CERT_GARBLED'],
    ['a weak or broken key', { public_key: 'ssh-rsa AAAA' }, 'KEY_GARBLED'],
  ] as const)('is refused for %s', async (_why, change, code) => {
    await expect(gateway.sessionCertificate({ ...request, ...change })).rejects.toEqual(refusal(code));
  });

  test('is refused for a user certificate of another CA, also when everything else is right', async () => {
    const { nonce: _nonce, signatureKey: _ca, ...fields } = parseCertificate(admin.certificate);
    const forged = issueCertificate(generateKey(), fields);
    await expect(gateway.sessionCertificate({ ...request, user_certificate: encodeBase64(forged) })).rejects.toEqual(
      refusal('CERT_UNKNOWN_CA'),
    );
  });

  test.each([
    ['login', 'deploy'],
    ['node', 'web-1'],
  ] as const)('is refused while a lock on the %s is in force, and given again after', async (kind, target) => {
    await gateway.sessionCertificate(request);
    await admin.call('PUT', '/v1/locks/l', { id: 'l', target_kind: kind, target, reason: 'incident', expires_at: null });
    await expect(gateway.sessionCertificate(request)).rejects.toEqual(refusal('LOCKED'));
    await admin.call('DELETE', '/v1/locks/l');
    await gateway.sessionCertificate(request);
  });

  test.each(['user', 'role'] as const)('cannot be lost by oneself: a lock on the own %s is refused', async (kind) => {
    const target = kind === 'user' ? admin.login.user : 'admin';
    await expect(
      admin.call('PUT', '/v1/locks/l', { id: 'l', target_kind: kind, target, reason: 'incident', expires_at: null }),
    ).rejects.toEqual(refusal('BAD_REQUEST'));
  });

  test('follows the roles of today, not those of the certificate', async () => {
    await gateway.sessionCertificate(request);
    const narrowed = roleSchema.parse({
      kind: 'role',
      name: 'admin',
      allow: { nodes: { '*': '*' }, logins: ['*', 'root'] },
      deny: { logins: ['deploy'] },
      administer: true,
      port_forwarding: false,
    });
    await admin.call('PUT', '/v1/roles/admin', narrowed);
    await expect(gateway.sessionCertificate(request)).rejects.toEqual(refusal('ACCESS_DENIED'));
    const certificate = parseCertificate(await gateway.sessionCertificate({ ...request, login: 'root', ...proven('root') }));
    expect(certificate.extensions.has('permit-port-forwarding')).toBe(false);
  });
});
