/** Invitations into live sessions: who may make, see and revoke them, and when they end. */
import { afterEach, describe, expect, test } from 'vitest';
import type { SessionInvitationView } from '#schemas/documents/session-invitation.js';
import { Cleanup, administrator, authorityIn, clientOf, person, temporaryFolder } from '../testing/authority.js';
import type { Signer } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const session = '01hf7yat0000000000000000ab';

async function scene() {
  const clock = { now: Date.now() };
  const folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup, {}, () => clock.now);
  const admin = await administrator(authority, cleanup);
  const role = (name: string, sessions: readonly object[]): Promise<unknown> =>
    admin.call('PUT', `/v1/roles/${name}`, { kind: 'role', name, view: 'none', allow: { sessions } });
  await role('inviter', [{ actions: ['list', 'invite'], modes: ['observer'], where: "labels.env == 'dev'" }]);
  await role('owner', [{ actions: ['list', 'invite'], modes: ['observer', 'peer'], of: 'own' }]);
  await role('sees', [{ actions: ['list', 'join'], modes: ['observer', 'peer'] }]);
  await role('nothing', []);
  const people: Record<string, Signer> = {};
  for (const [name, of] of [
    ['alice', 'owner'],
    ['carol', 'inviter'],
    ['sam', 'sees'],
    ['bob', 'nothing'],
    ['mallory', 'nothing'],
  ] as const) {
    await admin.call('POST', '/v1/users', { name, roles: [of] });
    people[name] = await person(authority, folder, admin, name, [of], cleanup);
  }
  const gateway = await clientOf(authority, { kind: 'gateway', name: 'east' }, cleanup);
  const held = (more: object): Promise<unknown> =>
    gateway.nodes.held({ epoch: '0'.repeat(16), address: '', ingest: '', up: [], down: [], ...more });
  const details = {
    ...{ session, user: 'alice', node: 'web-1', login: 'root', kind: 'shell', started_at: 1, labels: { env: 'dev' } },
    ...{ participants: [], others: 0, awaits: '' },
  };
  await held({ all: [], sessions: { up: [session], down: [], details: [details] } });
  const invite = (by: string, more: object = {}): Promise<SessionInvitationView> =>
    people[by]!.call('POST', '/v1/session-invitations', {
      ...{ session, user: 'bob', mode: 'observer', duration: 600_000, reason: 'incident 7' },
      ...more,
    }) as Promise<SessionInvitationView>;
  const published = (): readonly string[] => gateway.current().invitations.map(({ id }) => id);
  return { authority, admin, clock, people, gateway, held, details, invite, published };
}

describe('an invitation', () => {
  test('is made by who may, published to gateways, and seen by both', async () => {
    const { invite, people, gateway } = await scene();
    const made = await invite('carol');
    expect(made).toMatchObject({
      state: 'open',
      user: 'bob',
      by: 'carol',
      session_user: 'alice',
      link: expect.stringMatching(/\/join\/i-/),
    });
    await expect
      .poll(() => gateway.current().invitations)
      .toMatchObject([{ id: made.id, user: 'bob', by: 'carol', roles: ['inviter'], mode: 'observer' }]);
    for (const who of ['bob', 'carol']) {
      expect(await people[who]!.call('GET', `/v1/session-invitations/${made.id}`)).toEqual(made);
      expect(await people[who]!.call('GET', '/v1/session-invitations')).toEqual([made]);
    }
    expect(await people['mallory']!.call('GET', '/v1/session-invitations')).toEqual([]);
  });

  test.each([
    ['who may only join', 'sam', {}, 'ACCESS_DENIED'],
    ['who may not even know of the session', 'mallory', {}, 'SESSION_NOT_LIVE'],
    ['who may invite observers, for a peer', 'carol', { mode: 'peer' }, 'ACCESS_DENIED'],
    ['anybody, for a moderator', 'alice', { mode: 'moderator' }, 'BAD_REQUEST'],
    ['whom it would lead into their own session', 'carol', { user: 'alice' }, 'ACCESS_DENIED'],
    ['who invites themselves', 'carol', { user: 'carol' }, 'ACCESS_DENIED'],
    ['who names nobody', 'carol', { user: 'nobody-there' }, 'NOT_FOUND'],
    ['who names no session', 'carol', { session: '01hf7yat0000000000000000zz' }, 'SESSION_NOT_LIVE'],
    ['who gives no reason', 'carol', { reason: ' ' }, 'BAD_REQUEST'],
    ['whose reason moves terminals', 'carol', { reason: 'a\u001b[2Jb' }, 'BAD_REQUEST'],
    ['who wants more than a day', 'carol', { duration: 86_400_001 }, 'BAD_REQUEST'],
  ])('is refused to %s', async (_what, by, more, code) => {
    const { invite, published } = await scene();
    await expect(invite(by, more)).rejects.toMatchObject({ code });
    expect(published()).toEqual([]);
  });

  test('an owner invites into sessions of their own', async () => {
    const { invite, held, details } = await scene();
    expect(await invite('alice', { mode: 'peer' })).toMatchObject({ mode: 'peer' });
    await held({ sessions: { up: [], down: [], details: [{ ...details, user: 'sam' }] } });
    await expect(invite('alice', { mode: 'peer' })).rejects.toMatchObject({ code: 'SESSION_NOT_LIVE' });
  });

  test('is revoked by who made it or is invited, and by nobody else', async () => {
    const { invite, people, published, admin } = await scene();
    for (const by of ['carol', 'bob', 'admin']) {
      const { id } = await invite('carol');
      await expect(people['mallory']!.call('POST', `/v1/session-invitations/${id}/revoke`)).rejects.toMatchObject({
        code: 'SESSION_INVITATION_FOREIGN',
      });
      await expect.poll(published).toEqual([id]);
      const who = by === 'admin' ? admin : people[by]!;
      expect(await who.call('POST', `/v1/session-invitations/${id}/revoke`)).toMatchObject({ state: 'revoked' });
      await expect.poll(published).toEqual([]);
      await expect(who.call('POST', `/v1/session-invitations/${id}/revoke`)).rejects.toMatchObject({ code: 'SESSION_INVITATION_OVER' });
    }
  });

  test('is made on the page by what its user holds permanently, and for nobody else’s web session', async () => {
    const { authority, admin, people, published } = await scene();
    const viewer = await clientOf(authority, { kind: 'viewer', name: 'local' }, cleanup);
    const onPage = async (by: string): Promise<(more?: object) => Promise<SessionInvitationView>> => {
      const { url_token: token } = (await people[by]!.call('POST', '/v1/sign-in-link', {})) as { url_token: string };
      const relay = viewer.relaying({ client: '192.0.2.7' });
      const { token: web } = (await relay('POST', '/v1/sign-in', { token })) as { token: string };
      const given = { session, user: 'bob', mode: 'observer', duration: 600_000, reason: 'incident 7' };
      return (more = {}) =>
        viewer.relaying({ session: web, client: '192.0.2.7' })('POST', '/v1/session-invitations', { ...given, ...more }) as never;
    };
    const [carol, sam, mallory] = [await onPage('carol'), await onPage('sam'), await onPage('mallory')];
    const made = await carol();
    expect(made).toMatchObject({ state: 'open', user: 'bob', by: 'carol' });
    await expect.poll(published).toEqual([made.id]);
    await expect(carol({ mode: 'peer' })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(carol({ user: 'carol' })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(sam()).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(mallory()).rejects.toMatchObject({ code: 'SESSION_NOT_LIVE' });
    // Roles lost since the sign-in no longer count.
    await admin.call('PUT', '/v1/users/carol', { roles: ['nothing'] });
    await expect(carol()).rejects.toMatchObject({ code: expect.stringMatching(/SESSION_NOT_LIVE|NOT_SIGNED_IN/) });
    await admin.call('POST', '/v1/users/sam/disable', { reason: '' });
    await expect(sam()).rejects.toMatchObject({ code: 'NOT_SIGNED_IN' });
  });

  test('forged ids and those of others lead nowhere', async () => {
    const { invite, people } = await scene();
    const { id } = await invite('carol');
    for (const forged of ['i-0000000000000000', 'x', `${id}x`, '../locks'])
      await expect(people['bob']!.call('GET', `/v1/session-invitations/${encodeURIComponent(forged)}`)).rejects.toMatchObject({
        code: 'NOT_FOUND',
      });
    await expect(people['mallory']!.call('GET', `/v1/session-invitations/${id}`)).rejects.toMatchObject({
      code: 'SESSION_INVITATION_FOREIGN',
    });
  });

  test.each<[string, (world: Awaited<ReturnType<typeof scene>>) => Promise<unknown>, string]>([
    ['its session', ({ held }) => held({ sessions: { up: [], down: [session] } }), 'over'],
    ['its user', ({ admin }) => admin.call('POST', '/v1/users/bob/disable', { reason: '' }), 'revoked'],
    ['who invited', ({ admin }) => admin.call('DELETE', '/v1/users/carol'), 'revoked'],
    ['the roles of who invited', ({ admin }) => admin.call('PUT', '/v1/users/carol', { roles: ['nothing'] }), 'revoked'],
  ])('ends with %s', async (_what, end, state) => {
    const world = await scene();
    const { id } = await world.invite('carol');
    await expect.poll(world.published).toEqual([id]);
    await end(world);
    world.clock.now += 1;
    await world.invite('alice', { session, user: 'sam' }).catch(() => undefined);
    await expect.poll(() => world.published().includes(id)).toBe(false);
    const all = (await world.admin.call('GET', '/v1/session-invitations')) as SessionInvitationView[];
    expect(all.find((one) => one.id === id)).toMatchObject({ state });
  });

  test('is used once its gateway says so', async () => {
    const { invite, held, details, people } = await scene();
    const { id } = await invite('carol');
    const bob = { user: 'bob', mode: 'observer', since: 2, invitation: id } as const;
    await held({ sessions: { up: [], down: [], details: [{ ...details, participants: [bob] }] } });
    expect(await people['bob']!.call('GET', `/v1/session-invitations/${id}`)).toMatchObject({ state: 'used' });
  });

  test('of one user there are only so many', async () => {
    const { invite } = await scene();
    for (let i = 0; i < 50; i++) await invite('carol');
    await expect(invite('carol')).rejects.toMatchObject({ code: 'TOO_MANY' });
  });
});
