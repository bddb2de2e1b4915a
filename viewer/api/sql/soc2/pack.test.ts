/** The SOC 2 queries: each runs for an auditor and reports a failing control. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withPeriod } from '#schemas/sql/period.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow, exampleSession, exampleSessionRow } from '#stores/events/examples.js';
import { soc2Pack } from './pack.js';

let folder: string;
let events: EventStore;
const start = Date.UTC(2026, 0, 10);
const minute = 60_000;
const period = { from: start, to: start + 1000 * minute };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-pack-'));
  events = await openEventStore({ kind: 'chdb', path: join(folder, 'events') });
  const session = (i: number, more: object = {}) =>
    exampleSessionRow({ session: exampleSession(i), counter: i, state: 'sealed', started_at: start + i * minute, ...more });
  await events.insert(
    'sessions',
    // Number 3 is missing; carol is disabled at minute 3, and bob is back at minute 5.
    [session(1), session(2, { user: 'bob' }), session(4, { user: 'carol' }), session(6, { user: 'bob', request_id: 'r1' }), session(2000)],
    's',
  );
  let n = 0;
  const row = (at: number, event: string, more: object = {}) =>
    exampleAuditRow({ id: `a${(n += 1)}`, at: start + at * minute, event, ...more });
  await events.insert(
    'audit',
    [
      ...[1, 2, 4, 6].map((i) => row(i, 'session.start', { session: exampleSession(i) })),
      row(3, 'user.disable', { actor: 'ann', target: 'carol', data: '{"reason":"left"}' }),
      row(3, 'user.disable', { actor: 'ann', target: 'bob' }),
      row(5, 'user.enable', { actor: 'ann', target: 'bob' }),
      row(5, 'request.create', { actor: 'bob', target: 'r1', data: '{"reason":"an incident"}' }),
      row(5, 'request.approve', { actor: 'bob', target: 'r1' }),
      row(7, 'access.decide', { actor: 'ann', target: 'bob', data: '{"role":"dba","decision":"remove","reason":"unused"}' }),
      row(8, 'auth.refused', { actor: 'eve', outcome: 'failure', code: 'CERT_EXPIRED' }),
      row(9, 'lock.put', { actor: 'ann', target: 'l1', data: '{"lock":{"reason":"stolen laptop"}}' }),
      row(9.01, 'lock.enforced', { actor: 'gateway/gw-1', target: 'l1' }),
      row(10, 'recording.view', { actor: 'ann', session: exampleSession(1) }),
      row(12, 'finding.triage', { actor: 'ann', target: 'f1', data: '{"state":"resolved","version":1,"reason":"ok"}' }),
    ],
    'a',
  );
  await events.insert('findings', [exampleFindingRow({ id: 'f1', at: start + 10 * minute, data: '{"tier":"alert"}' })], 'f');
  await events.insert(
    'events',
    [
      exampleEventRow({ at: start + minute, kind: 'gap', reason: 'kernel_events' }),
      exampleEventRow({ at: start + minute, index: 1, kind: 'sftp', path: '/etc/passwd', name: 'download', size: 9 }),
    ],
    'e',
  );
});
afterAll(async () => {
  await events.close();
  await rm(folder, { recursive: true, force: true });
});

async function run(id: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { sql } = soc2Pack.find((query) => query.id === id)!;
  const limits = { maxRows: 1000, maxSeconds: 60 };
  const { columns, rows } = await events.readOnlySql(withPeriod(sql, period), limits, { findings: true, audit: true });
  return rows.map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, row[i]])));
}

test.each(soc2Pack.map((query) => [query.id, query] as const))(
  '%s has rows, and says what they prove',
  async (id, { criterion, title, proves, sql }) => {
    expect(await run(id)).not.toEqual([]);
    expect(id.startsWith(criterion.toLowerCase())).toBe(true);
    expect([title, proves].every((text) => text.length > 10)).toBe(true);
    expect(sql).toMatch(/ORDER BY/);
  },
);

test.each<[string, readonly object[]]>([
  ['cc6.2-sessions-after-removal', [{ session: exampleSession(4), user: 'carol' }]],
  ['cc6.3-approvals', [{ user: 'bob', reason: 'an incident', approved_by: ['bob'], self_approved: 1, sessions: 1 }]],
  ['cc6.3-access-reviews', [{ reviewer: 'ann', user: 'bob', role: 'dba', decision: 'remove' }]],
  ['cc6.1-refused', [{ actor: 'eve', code: 'CERT_EXPIRED', attempts: 1 }]],
  ['cc6.1-who-may-read-recordings', [{ viewer: 'ann', views: 1, exports: 0, sessions: 1 }]],
  ['cc7.2-coverage', [{ first: 1, last: 6, given: 6, stored: 4, missing: 2, without_audit: 0 }]],
  ['cc7.2-gaps', [{ reason: 'kernel_events', gaps: 1 }]],
  ['cc7.3-findings', [{ state: 'resolved', decided_by: 'ann', seconds_to_decision: 120 }]],
  ['cc7.4-locks', [{ by: 'ann', lock: 'l1', reason: 'stolen laptop', enforcements: 1, ms_to_first: 600 }]],
])('%s', async (id, expected) => {
  expect(await run(id)).toMatchObject(expected);
});
