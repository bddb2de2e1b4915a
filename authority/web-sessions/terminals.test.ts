/** Certificates for terminals in the page: their contents, their lifetime, and refusals. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TerminalCertificate, TerminalNode } from '#schemas/api/people/terminals.js';
import { loginPrincipal } from '#schemas/base/identity.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { Cleanup } from '../testing/authority.js';
import { people } from '../testing/people.js';
import type { Enrolled, People } from '../testing/people.js';
import { TERMINAL_TTL_S, sourceBlock } from './terminals.js';

const cleanup = new Cleanup();
let world: People;
let ann: Enrolled;
let bob: Enrolled;
let eve: Enrolled;

beforeAll(async () => {
  world = await people(cleanup);
  const role = (name: string, more: object): Promise<unknown> =>
    world.admin.call('PUT', `/v1/roles/${name}`, { kind: 'role', name, ...more });
  await role('web', { allow: { nodes: { env: 'prod' }, logins: ['deploy', 'app'] }, max_ttl: '1h' });
  await role('bound', { allow: { nodes: { '*': '*' }, logins: ['deploy'] }, max_ttl: '2h', disconnect_expired_cert: true });
  await role('nothing', {});
  for (const [name, env] of [
    ['web-1', 'prod'],
    ['lab-1', 'lab'],
  ] as const)
    await world.admin.call('PUT', `/v1/nodes/${name}`, { name, kind: 'openssh', address: 'h:22', labels: { env }, host_keys: [] });
  [ann, bob, eve] = [await world.enrol('ann', ['web']), await world.enrol('bob', ['bound']), await world.enrol('eve', ['nothing'])];
});
afterAll(() => cleanup.run());

const line = (): string => formatPublicLine(generateKey().publicBlob);
const ask = (session: string, change: Readonly<Record<string, unknown>> = {}, client?: string): Promise<TerminalCertificate> =>
  world.relay(
    'POST',
    '/v1/terminal/certificate',
    { public_key: line(), node: 'web-1', login: 'deploy', ...change },
    { session, ...(client === undefined ? {} : { client }) },
  );
const read = ({ certificate }: TerminalCertificate): SshCertificate => parseCertificate(parseAuthorizedLine(certificate).blob);
const seconds = (): number => Math.floor(world.now() / 1000);
const refusal = (code: string): unknown => expect.objectContaining({ code });

describe('a certificate for a terminal', () => {
  test('names one login, counts from the browser alone, and for minutes', async () => {
    const answer = await ask(ann.session, {}, '198.51.100.7');
    const certificate = read(answer);
    expect(certificate.principals).toEqual([loginPrincipal('deploy')]);
    expect([...certificate.criticalOptions]).toEqual([['source-address', '198.51.100.7']]);
    expect(Number(certificate.validBefore) - seconds()).toBeLessThanOrEqual(TERMINAL_TTL_S);
    expect(answer).toMatchObject({ user: 'ann', gateway_principal: 'steno-gateway@main' });
    expect((await world.audit()).at(-1)).toMatchObject({
      ...{ event: 'terminal.certify', actor: 'ann', outcome: 'success', node: 'web-1', login: 'deploy', source_address: '198.51.100.7' },
    });
  });

  test('lives as long as the sign-in allows where a role ends sessions with it', async () => {
    const left = Number(read(await ask(bob.session)).validBefore) - seconds();
    expect(left).toBeGreaterThan(7_100);
    expect(left).toBeLessThanOrEqual(7_200);
  });

  test.each([
    ['a login that no role allows', { login: 'root' }, 'ACCESS_DENIED'],
    ['a node that no role allows', { node: 'lab-1' }, 'ACCESS_DENIED'],
    ['an unknown node', { node: 'nowhere' }, 'NODE_UNKNOWN'],
    ['what is no key', { public_key: 'ssh-ed25519 AAAA' }, 'KEY_GARBLED'],
  ])('is refused for %s', async (_, change, code) => {
    await expect(ask(ann.session, change)).rejects.toEqual(refusal(code));
  });

  test('is refused to who has no role for it, and to nobody known', async () => {
    await expect(ask(eve.session)).rejects.toEqual(refusal('ACCESS_DENIED'));
    await expect(ask('x'.repeat(43))).rejects.toEqual(refusal('NOT_SIGNED_IN'));
  });

  test.each([
    ['node', 'web-1'],
    ['login', 'deploy'],
    ['user', 'ann'],
  ])('is refused under a lock on the %s', async (kind, target) => {
    await world.admin.call('PUT', '/v1/locks/l1', { id: 'l1', target_kind: kind, target, reason: 'r', expires_at: null });
    await expect(ask(ann.session)).rejects.toEqual(refusal('LOCKED'));
    await world.admin.call('DELETE', '/v1/locks/l1');
    await ask(ann.session);
  });

  test('is refused, and the nodes are still listed, when the sign-in is older than `max_ttl`', async () => {
    world.pass(3_590_000);
    expect(Number(read(await ask(ann.session)).validBefore) - seconds()).toBeLessThanOrEqual(10);
    world.pass(20_000);
    await expect(ask(ann.session)).rejects.toEqual(refusal('LOGIN_TOO_OLD'));
    expect((await world.relay<TerminalNode[]>('GET', '/v1/terminal/nodes', undefined, { session: ann.session })).length).toBe(1);
  });
});

test('a user sees the nodes of their roles, with the logins there', async () => {
  const nodes = (session: string): Promise<readonly TerminalNode[]> => world.relay('GET', '/v1/terminal/nodes', undefined, { session });
  expect(await nodes(ann.session)).toEqual([
    { name: 'web-1', kind: 'openssh', labels: { env: 'prod' }, state: 'agentless', logins: ['app', 'deploy'] },
  ]);
  expect((await nodes(bob.session)).map(({ name }) => name)).toEqual(['lab-1', 'web-1']);
  expect(await nodes(eve.session)).toEqual([]);
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
])('the block of %s is %s', (address, block) => expect(sourceBlock(address)).toBe(block));
test('what is no address has no block', () => expect(() => sourceBlock('local')).toThrow());
