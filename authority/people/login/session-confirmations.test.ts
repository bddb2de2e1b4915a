import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConfirmationFacts } from '#schemas/api/people/confirmations.js';
import type { SessionCertificateRequest } from '#schemas/api/services/certificates.js';
import { roleSchema } from '#schemas/policy/role.js';
import { encodeBase64 } from '#schemas/ssh/base64.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import { Cleanup, clientOf } from '../../testing/authority.js';
import { people } from '../../testing/people.js';
import type { Enrolled, People } from '../../testing/people.js';

const cleanup = new Cleanup();
let world: People;
let ann: Enrolled;
let gateway: AuthorityClient;
let request: SessionCertificateRequest;
let proven: (userName: string) => Pick<SessionCertificateRequest, 'proof'>;
beforeAll(async () => {
  world = await people(cleanup);
  await world.admin.call(
    'PUT',
    '/v1/roles/careful',
    roleSchema.parse({
      kind: 'role',
      name: 'careful',
      allow: { nodes: { '*': '*' }, logins: ['deploy', 'app'] },
      require_session_mfa: true,
    }),
  );
  await world.admin.call('PUT', '/v1/nodes/web-1', { name: 'web-1', kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] });
  ann = await world.enrol('ann', ['careful']);
  gateway = await clientOf(world.authority, { kind: 'gateway', name: 'gw-1' }, cleanup);
  const { certificate, key } = await world.certify(ann.session);
  proven = (userName) => ({ proof: signUserProof(key, certificate, { userName }) });
  request = {
    ...proven('deploy'),
    user: 'ann',
    login: 'deploy',
    node: 'web-1',
    public_key: formatPublicLine(generateKey().publicBlob),
    user_certificate: encodeBase64(certificate),
    source_address: '198.51.100.4',
  };
});
afterAll(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });

/** Requests a confirmation as the gateway does; resolves with the token once known, and with the approval when it arrives. */
function ask(): { readonly token: Promise<string>; readonly approval: Promise<string> } {
  const { login, node, user_certificate, source_address } = request;
  let tell: (url: string) => void = () => undefined;
  const token = new Promise<string>((resolve) => {
    tell = (url) => resolve(url.slice(url.indexOf('#') + 1));
  });
  const approval = gateway.confirmSession(
    { login, node, user_certificate, source_address },
    (url) => tell(url),
    new AbortController().signal,
  );
  approval.catch(() => undefined);
  return { token, approval };
}
const decide = (token: string, body: object, session = ann.session): Promise<unknown> =>
  world.relay('POST', '/v1/confirm/decision', { token, approve: true, ...body }, { session });

describe('where a role asks for a second factor for each session', () => {
  test('there is no session certificate without', async () => {
    await expect(gateway.sessionCertificate(request)).rejects.toEqual(refusal('SESSION_UNCONFIRMED'));
    await expect(gateway.sessionCertificate({ ...request, confirmation: 'x'.repeat(43) })).rejects.toEqual(refusal('SESSION_UNCONFIRMED'));
  });

  test('a code at the browser lets one session in, and the audit names the device', async () => {
    const { token, approval } = ask();
    const facts = await world.relay<ConfirmationFacts>('POST', '/v1/confirm/facts', { token: await token }, { session: ann.session });
    expect(facts).toMatchObject({
      user: 'ann',
      node: 'web-1',
      login: 'deploy',
      source_address: '198.51.100.4',
      browser_address: '192.0.2.7',
      by: 'device',
      totp: true,
      passkey: false,
    });
    await expect(decide(await token, { code: '000000' })).rejects.toEqual(refusal('LOGIN_FAILED'));
    await decide(await token, { code: ann.code(1) });
    const confirmation = await approval;
    for (const other of [{ login: 'app', ...proven('app') }, { source_address: '203.0.113.1' }]) {
      await expect(gateway.sessionCertificate({ ...request, ...other, confirmation })).rejects.toEqual(refusal('SESSION_UNCONFIRMED'));
    }
    await gateway.sessionCertificate({ ...request, confirmation });
    await expect(gateway.sessionCertificate({ ...request, confirmation })).rejects.toEqual(refusal('SESSION_UNCONFIRMED'));
    const rows = await world.audit();
    expect(rows.filter(({ event }) => event.startsWith('session_mfa.')).map(({ event, outcome }) => `${event} ${outcome}`)).toEqual(
      expect.arrayContaining(['session_mfa.ask success', 'session_mfa.approve failure', 'session_mfa.approve success']),
    );
    expect(rows.find(({ event, outcome }) => event === 'session_certificate.issue' && outcome === 'success')).toMatchObject({
      data: expect.stringContaining('"mfa":"mfa-'),
    });
  });

  test('denying it tells the gateway', async () => {
    const { token, approval } = ask();
    await world.relay('POST', '/v1/confirm/decision', { token: await token, approve: false }, { session: ann.session });
    await expect(approval).rejects.toMatchObject({ code: 'SESSION_UNCONFIRMED', detail: expect.stringContaining('denied') });
  });

  test('another user does not even see it', async () => {
    const eve = await world.enrol('eve', ['careful']);
    const { token } = ask();
    await expect(world.relay('POST', '/v1/confirm/facts', { token: await token }, { session: eve.session })).rejects.toEqual(
      refusal('NOT_FOUND'),
    );
    await expect(decide(await token, { code: eve.code(1) }, eve.session)).rejects.toEqual(refusal('NOT_FOUND'));
  });

  test('after a minute nobody can confirm it', async () => {
    const { token, approval } = ask();
    const given = await token;
    world.pass(61_000);
    await expect(decide(given, { code: ann.code(1) })).rejects.toEqual(refusal('NOT_FOUND'));
    await expect(approval).rejects.toMatchObject({ code: 'SESSION_UNCONFIRMED', detail: expect.stringContaining('in time') });
  });
});
