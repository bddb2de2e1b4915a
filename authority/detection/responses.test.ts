import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { responsePolicy } from '#schemas/documents/response-policy.js';
import type { AuditRow } from '#schemas/events/rows.js';
import type { AuthorityClient, ResponseRequest } from '#runtime/service/authority-client.js';
import { openState } from '#stores/state/open.js';
import type { RunningAuthority } from '../app.js';
import { Cleanup, administrator, authorityIn, clientOf, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const session = '01jdv3k5m8q2w7x9y4z6a0b1c2';
const found = (more: Partial<ResponseRequest> = {}): ResponseRequest => ({
  rule: 'r1',
  title: 'Reverse shell',
  severity: 'high',
  tier: 'alert',
  at: Date.now(),
  session,
  user: 'ann',
  node: 'web-1',
  login: 'root',
  reason: 'ran nc',
  roles: ['dev'],
  ...more,
});

interface World {
  readonly folder: string;
  readonly authority: RunningAuthority;
  readonly analyzer: AuthorityClient;
}

async function world(policy: object | null, folder = temporaryFolder(cleanup)): Promise<World> {
  const authority = await authorityIn(folder, cleanup, policy === null ? {} : { responses: responsePolicy.parse(policy) });
  return { folder, authority, analyzer: await clientOf(authority, { kind: 'analyzer', name: 'one' }, cleanup) };
}

async function inState({ folder }: World): Promise<{ readonly locks: readonly object[]; readonly rows: readonly AuditRow[] }> {
  const state = await openState({ kind: 'sqlite', file: join(folder, 'authority', 'state.sqlite') });
  try {
    const rows = (await state.selectFrom('audit_outbox').select('row').execute()).map(({ row }) => JSON.parse(row) as AuditRow);
    return {
      locks: await state.selectFrom('locks').selectAll().execute(),
      rows: rows.filter(({ event }) => event === 'response.take'),
    };
  } finally {
    await state.destroy();
  }
}

const freeze = { rules: ['r1'], action: 'freeze' };

describe('a response', () => {
  test.each([
    ['freeze', 'session-input', session],
    ['require_moderator', 'session-moderation', session],
    ['end', 'session', session],
    ['lock_user', 'user', 'ann'],
  ])('%s is a lock of its kind, with a row that names finding and session', async (action, kind, target) => {
    const made = await world({ responses: [{ rules: ['r1'], action, ttl: '5m', without_confirmation: true }] });
    expect(await made.analyzer.respond('f1', found())).toMatchObject({ kind: 'taken', action, lock: 'response-f1' });
    const { locks, rows } = await inState(made);
    expect(locks).toMatchObject([{ id: 'response-f1', target_kind: kind, target, reason: 'Reverse shell', created_by: 'analyzer/one' }]);
    expect(rows).toMatchObject([{ outcome: 'success', session, actor: 'analyzer/one' }]);
    expect(JSON.parse(rows[0]!.data)).toMatchObject({ finding: 'f1', rule: 'r1', action });
  });

  test('that ends a session only freezes it until a person decides, unless the policy says otherwise', async () => {
    const made = await world({ responses: [{ rules: ['r1'], action: 'end' }] });
    expect(await made.analyzer.respond('f1', found())).toMatchObject({ kind: 'taken', action: 'freeze' });
    expect((await inState(made)).locks).toMatchObject([
      { target_kind: 'session-input', reason: 'Reverse shell; a person decides whether the session ends' },
    ]);
  });

  test('is taken once, however often and by how many it is asked for, also after a restart', async () => {
    const made = await world({ responses: [freeze] });
    await Promise.all(Array.from({ length: 5 }, () => made.analyzer.respond('f1', found())));
    // Another finding of the same rule in the same session.
    await made.analyzer.respond('f2', found());
    expect((await inState(made)).rows).toHaveLength(1);
    const state = await openState({ kind: 'sqlite', file: join(made.folder, 'authority', 'state.sqlite') });
    await state.deleteFrom('locks').execute();
    await state.destroy();
    await made.authority.close();
    const again = await world({ responses: [freeze] }, made.folder);
    expect(await again.analyzer.respond('f1', found())).toMatchObject({ kind: 'none' });
    const { locks, rows } = await inState(again);
    expect({ locks, rows: rows.length }).toEqual({ locks: [], rows: 1 });
  });

  test('is none for what the policy does not list, for who is excepted, for what happened long ago, and without a policy', async () => {
    const made = await world({ except: { users: ['root'] }, responses: [freeze] });
    const kinds = async (...asked: readonly ResponseRequest[]): Promise<readonly string[]> =>
      Promise.all(asked.map(async (one, i) => (await made.analyzer.respond(`f${i}`, one)).kind));
    expect(await kinds(found({ rule: 'r2' }), found({ user: 'root' }), found({ at: Date.now() - 660_000 }))).toEqual([
      'none',
      'none',
      'none',
    ]);
    expect((await inState(made)).locks).toEqual([]);
    expect(await (await world(null)).analyzer.respond('f1', found())).toMatchObject({ kind: 'none' });
  });

  test('beyond the limit is none, and leaves a row', async () => {
    const made = await world({ limit: { responses: 2 }, responses: [freeze] });
    const kinds: string[] = [];
    for (const id of ['1', '2', '3'])
      kinds.push((await made.analyzer.respond(`f${id}`, found({ session: `${session.slice(0, -1)}${id}` }))).kind);
    expect(kinds).toEqual(['taken', 'taken', 'limited']);
    const { locks, rows } = await inState(made);
    expect(locks).toHaveLength(2);
    expect(rows.map(({ outcome, code }) => [outcome, code])).toContainEqual(['failure', 'TOO_MANY']);
  });

  test('is none for what is suppressed', async () => {
    const made = await world({ responses: [freeze] });
    const admin = await administrator(made.authority, cleanup);
    await admin.call('POST', '/v1/suppressions', { scope: { rule: 'r1', text: 'ran nc' }, reason: 'a probe of ours', duration: 3_600_000 });
    expect(await made.analyzer.respond('f1', found())).toMatchObject({ kind: 'none' });
    expect(await made.analyzer.respond('f2', found({ reason: 'ran socat' }))).toMatchObject({ kind: 'taken' });
    expect((await inState(made)).locks).toHaveLength(1);
  });

  test('in a dry run is a row and no lock', async () => {
    const made = await world({ dry_run: true, responses: [freeze] });
    expect(await made.analyzer.respond('f1', found())).toMatchObject({ kind: 'dry_run', action: 'freeze', lock: null });
    const { locks, rows } = await inState(made);
    expect({ locks, kinds: rows.map(({ data }) => (JSON.parse(data) as { kind: string }).kind) }).toEqual({
      locks: [],
      kinds: ['dry_run'],
    });
  });

  test('is for analyzers to ask for, and an analyzer can set no lock by itself', async () => {
    const { authority, analyzer } = await world({ responses: [freeze] });
    for (const kind of ['viewer', 'gateway', 'ingest'] as const) {
      const other = await clientOf(authority, { kind, name: 'other' }, cleanup);
      await expect(other.respond('f1', found())).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    }
    await expect(analyzer.leases.acquire({ name: 'seal/x', holder: 'a', ttlMs: 1_000 })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });
});
