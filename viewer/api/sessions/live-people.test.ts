/** Participants of live sessions: shown with the session to users who may list it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SessionInfo, SessionList } from '#schemas/api/recordings/sessions.js';
import { record } from '../testing/recorded.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
let live: Recorded;
let over: Recorded;
const bob = { user: 'bob', mode: 'peer', since: 2 } as const;

beforeAll(async () => {
  stand = await openStand();
  const lines = [[0, { code: 'o', data: 'one\r\n' }]] as const;
  live = await record(stand, { user: 'alice', node: 'web-1', state: 'live', storedParts: 1, blocksPerPart: 1, lines });
  over = await record(stand, { user: 'alice', node: 'web-1', state: 'sealed', blocksPerPart: 1, lines });
  for (const session of [live.id, over.id])
    stand.people.set(session, {
      ...{ session, user: 'alice', node: 'web-1', login: 'root', kind: 'shell', started_at: 1, labels: {} },
      ...{ participants: [{ user: 'alice', mode: 'owner', since: 1 }, bob], others: 3, awaits: '1 moderator' },
    });
});
afterAll(() => stand.close());

const get = async <T>(path: string, cookie: string): Promise<{ readonly status: number; readonly body: T }> => {
  const answer = await fetch(`${stand.url}${path}`, { headers: { cookie } });
  return { status: answer.status, body: (await answer.json()) as T };
};

test('the list and the session itself say who is there, while it is live', async () => {
  const cookie = stand.signIn('root', 'all');
  const shown = { participants: [{ user: 'alice', mode: 'owner', since: 1 }, bob], others: 3, awaits: '1 moderator', invite: [] };
  const { body } = await get<SessionList>('/api/sessions', cookie);
  expect(Object.fromEntries(body.sessions.map(({ id, live: people }) => [id, people]))).toEqual({ [live.id]: shown, [over.id]: undefined });
  expect((await get<SessionInfo>(`/api/sessions/${live.id}`, cookie)).body.live).toEqual(shown);
});

test('who may invite others is told as what', async () => {
  stand.role('inviter', { allow: { sessions: [{ actions: ['list', 'invite'], modes: ['observer'], where: "labels.env == 'dev'" }] } });
  stand.role('elsewhere', { allow: { sessions: [{ actions: ['list'] }, { actions: ['invite'], modes: ['peer'], of: 'own' }] } });
  const invite = async (cookie: string): Promise<unknown> => (await get<SessionInfo>(`/api/sessions/${live.id}`, cookie)).body.live?.invite;
  expect(await invite(stand.signIn('carol', 'inviter'))).toEqual(['observer']);
  expect(await invite(stand.signIn('carol', 'elsewhere'))).toEqual([]);
  expect(await invite(stand.signIn('alice', 'elsewhere'))).toEqual(['peer']);
});

test('who may not list the session hears nothing of it', async () => {
  stand.role('elsewhere', { allow: { sessions: [{ actions: ['list'], where: "session.node == 'db-1'" }] } });
  const cookie = stand.signIn('mallory', 'elsewhere');
  expect((await get<SessionList>('/api/sessions', cookie)).body.sessions).toEqual([]);
  const { status, body } = await get<object>(`/api/sessions/${live.id}`, cookie);
  expect([status, JSON.stringify(body).includes('bob')]).toEqual([404, false]);
});

test('a list of which nobody knows the people is a list', async () => {
  stand.people.clear();
  const { status, body } = await get<SessionList>('/api/sessions', stand.signIn('root', 'all'));
  expect([status, body.sessions.map(({ live: people }) => people)]).toEqual([200, [undefined, undefined]]);
});
