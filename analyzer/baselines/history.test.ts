/** Compares the past in ClickHouse with a count of the same rows in JavaScript; rows stored later change no earlier answer. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { exampleSession, exampleSessionRow } from '#stores/events/examples.js';
import { countsOf } from '../masquerade/model.js';
import { ActReader, formOf } from './habits.js';
import { StoredHistory, untilOf } from './history.js';

const DAY = 86_400_000;
const NOW = 20_800 * DAY + 10 * 3_600_000;
const folder = mkdtempSync(join(tmpdir(), 'steno-baselines-'));
let store: EventStore;
beforeAll(async () => {
  store = await openEventStore({ kind: 'chdb', path: join(folder, 'events') });
}, 120_000);
afterAll(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Made {
  readonly session: SessionRow;
  readonly rows: readonly EventRow[];
}
const names = ['/usr/bin/tar', '/bin/systemctl', 'sh', '', '/', "/tmp/it's", '/opt/日本/x'];
const commands = [
  'systemctl restart nginx',
  'tar czf x',
  'sh',
  'x status',
  'x Status',
  "it's ok",
  'git push origin',
  'a  b',
  'x stop',
  'tar -c -z --file=x --no-same-owner -v -x -p',
  'x -',
  'x - -- -9 -a',
];
const facts: fc.Arbitrary<Partial<EventRow>> = fc.oneof(
  fc.tuple(fc.constantFrom(...names), fc.constantFrom(...commands), fc.nat(3), fc.nat(3)).map(([path, name, pid, ppid]) => ({ kind: 'exec' as const, path, name, data: JSON.stringify({ pid, ppid }) })),
  fc.tuple(fc.constantFrom('10.0.0.1', '', '::1'), fc.constantFrom(22, 443, null)).map(([address, port]) => ({ kind: 'connect' as const, address, port })),
  fc.constant({ kind: 'file' as const, path: '/etc/passwd', name: 'open' }),
  fc.constant({ kind: 'exec' as const, source: 'recording' as const, emitter: '', path: '/bin/not-the-kernel' }),
); // prettier-ignore

let made = 0;
const sessions = fc.array(
  fc.tuple(fc.constantFrom('ann', 'bob', "o'neil"), fc.constantFrom('prod', 'test', null), fc.integer({ min: -100, max: 2 }), fc.boolean(), fc.array(facts, { maxLength: 12 }), fc.subarray(['dba', 'dev', "it's"])),
  { minLength: 5, maxLength: 25 },
).map((all) => all.map(([user, env, days, isOver, rows, roles]): Made => {
  const session = exampleSession((made += 1));
  const started_at = NOW + days * DAY;
  const row = exampleSessionRow({
    session, user, roles, started_at, ended_at: isOver ? started_at + 60_000 : null, state: isOver ? 'ended' : 'live', bytes_in: days + 200, labels: env === null ? {} : { env }, labels_known: true,
  });
  return { session: row, rows: rows.map((one, index): EventRow => ({
    session, source: 'kernel', emitter: 'agent/a', block: 1, index, at: started_at + index, offset_ms: index, kind: 'exec', user, node: 'web-3', login: 'root', ...noFacts, ...one,
  })) };
})); // prettier-ignore

async function put(all: readonly Made[]): Promise<void> {
  made += 1;
  await store.insert(
    'sessions',
    all.map(({ session }) => session),
    `s${made}`,
  );
  const rows = all.flatMap((one) => one.rows);
  if (rows.length > 0) await store.insert('events', rows, `e${made}`);
}

/** Counts, for the sessions that count, by how many distinct values (user, node) each act was performed. */
function counted(all: readonly Made[], distinct: (session: SessionRow) => string, pairs = true): unknown {
  const found = new Map<string, Set<string>>();
  for (const { session, rows } of all) {
    const acts = new ActReader();
    for (const row of rows)
      for (const { habit, value } of acts.take(row)) {
        if (habit === 'pair' && !pairs) continue;
        const key = `${habit} ${value}`;
        found.set(key, (found.get(key) ?? new Set()).add(distinct(session)));
      }
  }
  return Object.fromEntries([...found].map(([key, of]) => [key, of.size]).sort());
}

function flat(acts: ReadonlyMap<string, ReadonlyMap<string, number>>): unknown {
  return Object.fromEntries([...acts].flatMap(([habit, of]) => [...of].map(([value, times]) => [`${habit} ${value}`, times])).sort());
}

describe('the past', () => {
  it('is that of the sessions which were over, in the store as counted by hand; and stays as it is', async () => {
    const before: Made[] = [];
    await fc.assert(
      fc.asyncProperty(sessions, sessions, async (some, later) => {
        await put(some);
        before.push(...some);
        const asking = exampleSessionRow({ user: 'ann', roles: ["it's", 'dba', 'nobody', 'dba'], started_at: NOW, labels: { env: 'prod' }, labels_known: true });
        const until = untilOf(asking);
        const counts = before.filter(({ session: { started_at, ended_at } }) => ended_at !== null && ended_at < until && started_at >= until - 90 * DAY);
        const past = await new StoredHistory(store).before(asking);
        const mine = counts.filter(({ session }) => session.user === 'ann');
        expect(flat(past.user.acts)).toEqual(counted(mine, ({ session }) => session));
        expect(past.user.sessions.map(({ measured }) => [measured.bytes_in, measured.files])).toEqual(
          mine.toSorted((a, b) => b.session.started_at - a.session.started_at || (a.session.session < b.session.session ? 1 : -1)).map(({ session, rows }) => [session.bytes_in, rows.filter(({ kind }) => kind === 'file').length]),
        );
        const there = counts.filter(({ session }) => session.labels['env'] === 'prod');
        expect([past.peers.where, past.peers.people, flat(past.peers.acts)]).toEqual([
          'nodes with env=prod', new Set(there.map(({ session }) => session.user)).size, counted(there, ({ user }) => user, false),
        ]);
        const holders = (role: string): readonly Made[] => counts.filter(({ session }) => session.roles.includes(role));
        expect(past.roles.map(({ where, people, acts }) => [where, people, flat(acts)])).toEqual(
          ['dba', "it's", 'nobody'].map((role) => [role, new Set(holders(role).map(({ session }) => session.user)).size, counted(holders(role), ({ user }) => user, false)]),
        );
        const newest = (all: readonly Made[]) => all.toSorted((a, b) => b.session.started_at - a.session.started_at || (a.session.session < b.session.session ? 1 : -1));
        expect(past.roles.map(({ sessions }) => sessions.map(({ started_at, measured }) => [started_at, measured.bytes_in, measured.duration]))).toEqual(
          ['dba', "it's", 'nobody'].map((role) => newest(holders(role)).map(({ session }) => [session.started_at, session.bytes_in, 60_000])),
        );
        expect((await new StoredHistory(store).before({ ...asking, roles: ['a', 'b', 'c', 'd', 'e'] })).roles).toEqual([]);
        const forms = (all: readonly Made[]): unknown => Object.fromEntries([...countsOf(all.flatMap(({ rows }) => rows.filter(({ kind, source }) => kind === 'exec' && source === 'kernel').map(({ path, name }) => formOf(path, name)).filter((form) => form !== ''))).of].sort());
        const pastForms = await new StoredHistory(store).formsBefore(asking);
        expect([pastForms.user, pastForms.everybody].map(({ of }) => Object.fromEntries([...of].sort()))).toEqual([forms(mine), forms(counts)]);
        // Sessions that end after that moment change nothing.
        const after = later.map(({ session, rows }) => ({ session: { ...session, started_at: Math.max(session.started_at, until - 1_000), ended_at: until + 1 }, rows }));
        await put(after);
        before.push(...after);
        expect(await new StoredHistory(store).before(asking)).toEqual(past);
      }),
      { numRuns: 8, seed: 4 },
    );
    expect(before.length).toBeGreaterThan(50);
  }, 300_000);
}); // prettier-ignore
