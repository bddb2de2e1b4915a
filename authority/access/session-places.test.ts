import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { AuditRow } from '#schemas/events/rows.js';
import { PLACE_SILENCE_MS } from '#schemas/session-place.js';
import { openState } from '#stores/state/open.js';
import { Records } from '../records/records.js';
import { SessionPlaces } from './session-places.js';
import { Cleanup, authorityIn, clientOf, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const runs = { one: '1111111111111111', two: '2222222222222222' };

describe('places among the connections of a user', () => {
  const open = async () => {
    const clock = { now: 1_000_000_000 };
    const state = await openState({ kind: 'sqlite', file: join(temporaryFolder(cleanup), 'state.sqlite') });
    const records = new Records(state);
    cleanup.add(() => records.close());
    const places = new SessionPlaces(records, () => clock.now);
    const take = (run: keyof typeof runs, number: number, max = 2, ended: number[] = []): Promise<unknown> =>
      places.take(run, { actor: `gateway/${run}`, source: '127.0.0.1' }, { run: runs[run], number, user: 'ann', max, ended });
    const tell = (run: keyof typeof runs, begun: number[], ended: number[] = []): Promise<{ known: boolean }> =>
      places.tell(run, { run: runs[run], begun: begun.map((number) => ({ number, user: 'ann' })), ended });
    const audit = async (): Promise<AuditRow[]> => (await records.outbox(100)).map(({ text }) => JSON.parse(text) as AuditRow);
    return { clock, places, take, tell, audit };
  };
  const tooMany = { code: 'SESSIONS_TOO_MANY' };

  test('are counted over all gateways, also those that no role limits', async () => {
    const { take, tell } = await open();
    await take('one', 1);
    await tell('two', [1]);
    await expect(take('two', 2)).rejects.toMatchObject(tooMany);
    await expect(take('two', 2, 3)).resolves.toBeDefined();
  });

  test('come back when their end is told, with the next question too', async () => {
    const { take, tell } = await open();
    await take('one', 1, 1);
    await expect(take('two', 1, 1)).rejects.toMatchObject(tooMany);
    await tell('one', [], [1]);
    await take('two', 2, 1);
    await take('two', 3, 1, [2]);
    await expect(take('one', 4, 1)).rejects.toMatchObject(tooMany);
  });

  test('what ended is forgotten also where the question is refused', async () => {
    const { take } = await open();
    await take('one', 1, 2);
    await take('two', 1, 2);
    await expect(take('one', 2, 1, [1])).rejects.toMatchObject(tooMany);
    await take('one', 3, 2);
  });

  test('one asked for twice is one place', async () => {
    const { take } = await open();
    await take('one', 1, 1);
    await take('one', 1, 1);
  });

  test('a gateway cannot touch those of another', async () => {
    const { places, take } = await open();
    await take('one', 1, 1);
    await places.tell('two', { run: runs.one, begun: [], ended: [1] });
    await expect(take('two', 1, 1)).rejects.toMatchObject(tooMany);
  });

  test('of a gateway that is silent count no more, until it is heard of', async () => {
    const { clock, take, tell } = await open();
    await take('one', 1, 1);
    clock.now += PLACE_SILENCE_MS;
    await take('two', 1, 1);
    await tell('one', []);
    await expect(take('two', 2, 2)).rejects.toMatchObject(tooMany);
  });

  test('of a gateway that is gone are forgotten, and that is told once', async () => {
    const { clock, places, take, tell, audit } = await open();
    await take('one', 1);
    expect((await tell('one', [])).known).toBe(true);
    clock.now += 600_001;
    await places.purge();
    await places.purge();
    expect((await audit()).filter(({ event }) => event === 'session_place.forget')).toMatchObject([
      { target: 'gateway/one', data: '{"places":1}' },
    ]);
    expect((await tell('one', [])).known).toBe(false);
  });

  test('that are granted are in the audit', async () => {
    const { take, audit } = await open();
    await take('one', 1);
    expect(await audit()).toMatchObject([
      { event: 'session_place.take', actor: 'gateway/one', target: 'ann', outcome: 'success', data: '{"max":2,"held":1}' },
    ]);
  });
});

test('of gateways that ask at the same time as many get a place as there are', async () => {
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  const gateways = await Promise.all([
    clientOf(authority, { kind: 'gateway', name: 'a' }, cleanup),
    clientOf(authority, { kind: 'gateway', name: 'b' }, cleanup),
  ]);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) =>
      gateways[i % 2]!.places.take({ run: i % 2 === 0 ? runs.one : runs.two, number: i + 1, user: 'ann', max: 3, ended: [] }),
    ),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
  expect(outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [(outcome.reason as { code: string }).code] : []))).toEqual(
    Array(17).fill('SESSIONS_TOO_MANY'),
  );
  const viewer = await clientOf(authority, { kind: 'viewer', name: 'v' }, cleanup);
  await expect(viewer.places.tell({ run: runs.one, begun: [], ended: [1] })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
});
