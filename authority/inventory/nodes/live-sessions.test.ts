import { afterEach, expect, test } from 'vitest';
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
