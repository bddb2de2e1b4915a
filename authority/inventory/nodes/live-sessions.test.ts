import { afterEach, expect, test } from 'vitest';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import type { Held } from '#runtime/service/authority-client.js';
import { Cleanup, administrator, authorityIn, clientOf, temporaryFolder } from '../../testing/authority.js';
import { HOLDER_SILENCE_MS } from './presence.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const [one, two] = ['01hf7yat0000000000000000ab', '01hf7yat0000000000000000cd'] as const;
const held = (epoch: string, more: Partial<Held> = {}): Held => ({
  epoch: epoch.repeat(16),
  address: '',
  ingest: 'ingest/a',
  up: [],
  down: [],
  ...more,
});

async function scene() {
  const clock = { now: Date.now() };
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => clock.now);
  const [east, west, viewer] = await Promise.all([
    clientOf(authority, { kind: 'gateway', name: 'east' }, cleanup),
    clientOf(authority, { kind: 'gateway', name: 'west' }, cleanup),
    clientOf(authority, { kind: 'viewer', name: 'one' }, cleanup),
  ]);
  return { authority, clock, east, west, viewer };
}

test('a session is found with its gateway and ingest, by gateways and viewers, until it ends', async () => {
  const { east, west, viewer } = await scene();
  await east.nodes.held(held('0', { all: [], sessions: { up: [one, two], down: [] } }));
  const found = { session: one, gateway: 'east', ingest: 'a' };
  for (const asking of [west, viewer]) expect(await asking.liveSession(one)).toMatchObject(found);
  await east.nodes.held(held('0', { ingest: 'ingest/b', sessions: { up: [], down: [two] } }));
  expect(await viewer.liveSession(one)).toMatchObject({ ...found, ingest: 'b' });
  expect(await viewer.liveSession(two)).toBeNull();
  await east.nodes.held(held('0', { ingest: '' }));
  expect(await viewer.liveSession(one)).toMatchObject({ ...found, ingest: null });
});

test('those of a gateway that is silent, or that has begun anew, are not found', async () => {
  const { clock, east, viewer } = await scene();
  await east.nodes.held(held('0', { all: [], sessions: { up: [one, two], down: [] } }));
  clock.now += HOLDER_SILENCE_MS;
  expect(await viewer.liveSession(one)).toBeNull();
  expect(await east.nodes.held(held('0'))).toMatchObject({ known: true });
  expect(await viewer.liveSession(one)).not.toBeNull();
  expect(await east.nodes.held(held('1'))).toMatchObject({ known: false });
  await east.nodes.held(held('1', { all: [], sessions: { up: [two], down: [] } }));
  expect([await viewer.liveSession(one), await viewer.liveSession(two)]).toMatchObject([null, { gateway: 'east' }]);
});

test('a gateway cannot take a session over by claiming it, nor end that of another', async () => {
  const { clock, east, west, viewer } = await scene();
  await east.nodes.held(held('0', { all: [], sessions: { up: [one], down: [] } }));
  clock.now += 1;
  await west.nodes.held(held('2', { all: [], sessions: { up: [one], down: [] } }));
  expect(await viewer.liveSession(one)).toMatchObject({ gateway: 'east' });
  await west.nodes.held(held('2', { sessions: { up: [], down: [one] } }));
  expect(await viewer.liveSession(one)).toMatchObject({ gateway: 'east' });
});

test('nobody but services asks, and what is no session or no ingest is refused', async () => {
  const { authority, east, viewer } = await scene();
  const admin = await administrator(authority, cleanup);
  await expect(admin.call('GET', `/v1/live-sessions/${one}`)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await expect(viewer.liveSession('../nodes')).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(east.nodes.held(held('0', { all: [], ingest: 'viewer/one' }))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(east.nodes.held(held('0', { sessions: { up: ['x'], down: [] } }))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
});

test('a gateway of before, which says nothing of sessions, is heard as it was', async () => {
  const { east } = await scene();
  const { ingest: _, ...before } = held('0', { all: [] });
  expect(await east.nodes.held(before as Held)).toMatchObject({ known: true });
});

const people = (session: string, more: Partial<LiveSessionDetails> = {}): LiveSessionDetails => ({
  ...{ session, user: 'alice', node: 'web-1', login: 'root', kind: 'shell', started_at: 1, labels: { env: 'prod' } },
  ...{ participants: [{ user: 'alice', mode: 'owner', since: 1 }], others: 0, awaits: '' },
  ...more,
});

test('viewers read who is in a session, as its gateway said last, while that gateway is there', async () => {
  const { clock, east, west, viewer } = await scene();
  await east.nodes.held(held('0', { all: [], sessions: { up: [one, two], down: [], details: [people(one)] } }));
  expect(await viewer.liveSessions([one, two])).toEqual([people(one)]);
  const bob = { user: 'bob', mode: 'peer', since: 2 } as const;
  const joined = people(one, { participants: [...people(one).participants, bob], awaits: '1 moderator' });
  await east.nodes.held(held('0', { sessions: { up: [], down: [], details: [joined] } }));
  expect(await viewer.liveSessions([one])).toEqual([joined]);
  // Another gateway can neither change it nor take precedence.
  clock.now += 1;
  await west.nodes.held(held('2', { all: [], sessions: { up: [], down: [], details: [people(one, { awaits: 'mallory' })] } }));
  await west.nodes.held(held('2', { sessions: { up: [one], down: [], details: [people(one, { awaits: 'mallory' })] } }));
  expect(await viewer.liveSessions([one])).toEqual([joined]);
  clock.now += HOLDER_SILENCE_MS;
  expect(await viewer.liveSessions([one])).toEqual([]);
});

test('details are bounded, and for viewers alone', async () => {
  const { authority, east } = await scene();
  const told = (details: LiveSessionDetails) =>
    east.nodes.held(held('0', { all: [], sessions: { up: [one], down: [], details: [details] } }));
  const bob = { user: 'bob', mode: 'observer', since: 2 } as const;
  await expect(told(people(one, { participants: Array<typeof bob>(33).fill(bob) }))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(told(people(one, { labels: { a: 'x'.repeat(5_000) } }))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(told(people('x'))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  const admin = await administrator(authority, cleanup);
  await expect(admin.call('POST', '/v1/live-sessions/read', { sessions: [one] })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await expect(east.liveSessions([one])).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
});
