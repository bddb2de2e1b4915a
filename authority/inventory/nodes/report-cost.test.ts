/** What a gateway's report costs the state store, counted: gateways report several times a second while sessions begin and end. */
import { join } from 'node:path';
import type { KyselyPlugin } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, temporaryFolder } from '../../testing/authority.js';
import { Records } from '../../records/records.js';
import { Presence } from './presence.js';

const cleanup = new Cleanup();
let statements = 0;
let outboxes = 0;
let presence: Presence;

beforeEach(async () => {
  const counter: KyselyPlugin = {
    transformQuery({ node }) {
      statements += 1;
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  const state = await openState({ kind: 'sqlite', file: join(temporaryFolder(cleanup), 'state.db') });
  cleanup.add(() => state.destroy());
  const records = new Records(state.withPlugin(counter));
  records.onAudit = () => (outboxes += 1);
  presence = new Presence(records, () => 1_800_000_000_000);
  await presence.report({ holder: 'gateway/east', epoch: 'e', address: '', all: [], up: [], down: [] });
  // The first report of an authority counts the sessions.
  await report(ids(1, 'a'));
});
afterEach(() => cleanup.run());

const ids = (count: number, letter: string): string[] =>
  Array.from({ length: count }, (_, i) => `01hf7yat0000000000${letter}${String(i).padStart(7, '0')}`);

const detailsOf = (session: string): LiveSessionDetails => ({
  ...{ session, user: 'alice', node: 'web-1', login: 'root', kind: 'shell', started_at: 1, labels: null },
  ...{ participants: [{ user: 'alice', mode: 'owner', since: 1 }], others: 0, awaits: '' },
});

/** Statements, beside those that begin and end its transaction. */
async function report(up: readonly string[], down: readonly string[] = []): Promise<number> {
  statements = outboxes = 0;
  const sessions = { up, down, details: up.map(detailsOf) };
  expect(await presence.report({ holder: 'gateway/east', epoch: 'e', address: '', up: [], down: [], sessions })).toBe(true);
  return statements;
}

test('sessions that begin cost two statements together, however many begin and are live', async () => {
  expect(await report(ids(1, 'b'))).toBe(2);
  expect(await report(ids(200, 'c'))).toBe(2);
  expect(await report(ids(1, 'd'))).toBe(2);
  expect(await presence.details([ids(200, 'c')[199]!])).toEqual([detailsOf(ids(200, 'c')[199]!)]);
});

test('a report of nothing costs one, and none makes the authority read its outbox of audit rows', async () => {
  expect(await report([])).toBe(1);
  await report(ids(3, 'b'), ids(1, 'a'));
  expect(outboxes).toBe(0);
});

test('a gateway is held to its limit of sessions, also one that says so in parts, and may begin others once some have ended', async () => {
  for (let part = 0; part < 19; part++) await report(ids(1_000, String.fromCharCode(98 + part)));
  await report(ids(999, 'z'));
  await expect(report(ids(1, 'y'))).rejects.toMatchObject({ code: 'TOO_MANY' });
  await report([], ids(1, 'z'));
  await report(ids(1, 'y'));
});
