/** Several analyzers that share the sessions: what they find is what one alone finds. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FindingRow } from '#schemas/events/rows.js';
import { underLease } from '#stores/leases/keeper.js';
import { SqlLeases } from '#stores/leases/sql.js';
import { openState } from '#stores/state/open.js';
import type { StateSchema } from '#stores/state/schema.js';
import { detectorsOf } from '../../analyzer/detectors/detector-set.js';
import { makeSession, ruleFor, rulesOf } from '../../analyzer/testing/session-rows.js';
import { RowFeed } from '../../ingest/feed/row-feed.js';
import { openFeedWorld } from './feeding.js';
import type { FeedWorld } from './feeding.js';

const ALPHA = '00000000-0000-4000-8000-000000000001';
const ACROSS = '00000000-0000-4000-8000-000000000002';
const TTL_MS = 60_000;
const MANY = 24;
/** One user runs alpha in many sessions: whoever follows only some of them never sees enough. */
const manySessions = `title: Alpha in many sessions
id: ${ACROSS}
level: high
correlation:
  type: value_count
  rules: [${ALPHA}]
  group-by: [SessionUser]
  timespan: 10m
  condition: { field: SessionId, gte: ${MANY} }
  generate: true
`;
const rules = () => detectorsOf({ ...rulesOf(ruleFor('alpha', ALPHA), manySessions), hash: 'test', files: 2 });

let world: FeedWorld;
let folder: string;
let db: Kysely<StateSchema>;
beforeAll(async () => {
  world = await openFeedWorld();
  folder = await mkdtemp(join(tmpdir(), 'steno-analyzers-'));
  db = await openState({ kind: 'sqlite', file: join(folder, 'state.sqlite') });
});
afterAll(async () => {
  await db.destroy();
  await world.close();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  await db.deleteFrom('leases').execute();
});

/** An analyzer whose seat can be killed: it then neither renews its leases nor gives them back. */
function member(name: string, ingests: readonly string[]) {
  const leases = new SqlLeases(db, async () => Date.now());
  const state = { killed: false };
  const never = new Promise<never>(() => undefined);
  const made = world.analyzing(ingests, {
    rules: rules(),
    alone: (lease, work) =>
      underLease(
        { ...bound(leases), release: (claim) => (state.killed ? Promise.resolve() : leases.release(claim)) },
        lease,
        { holder: name, ttlMs: TTL_MS },
        work,
      ),
    held: (prefix) => (state.killed ? never : leases.held(prefix)),
  });
  return {
    ...made,
    name,
    share: () => made.analyzer.analysis().report.share,
    leads: () => made.analyzer.analysis().report.leads,
    kill: () => {
      state.killed = true;
      return made.analyzer.close();
    },
  };
}

function bound(leases: SqlLeases) {
  return {
    acquire: leases.acquire.bind(leases),
    renew: leases.renew.bind(leases),
    release: leases.release.bind(leases),
    held: leases.held.bind(leases),
  };
}

const ids = (...rows: readonly (readonly FindingRow[])[]): readonly string[] => [...new Set(rows.flat().map(({ id }) => id))].sort();

describe('two analyzers', () => {
  test('find together what one finds alone, across sessions too; what a killed one had goes to the other', async () => {
    const feed = new RowFeed();
    const ingest = await world.feeding(feed);
    const pair = [member('one', [ingest.url]), member('two', [ingest.url])] as const;
    await expect.poll(() => pair.map(({ share }) => share()).reduce((sum, share) => sum + share)).toBe(1);
    await expect.poll(() => pair.map(({ share }) => share() > 0)).toEqual([true, true]);
    await expect.poll(() => pair.map(({ analyzer }) => analyzer.analysis().report.feeds_open)).toEqual([1, 1]);
    const [leader, other] = pair[0].leads() ? pair : [pair[1], pair[0]];
    expect(other.leads()).toBe(false);

    const sessions = Array.from({ length: MANY }, () => makeSession(['alpha', 'beta'], { last: false }));
    for (const made of sessions) {
      await world.store(made);
      feed.publish({ events: made.events, screen: made.screen, sessions: [made.live] });
    }
    // Each session is found by exactly one, and the leader also sees what the other follows.
    await expect.poll(() => ids(leader.rows, other.rows)).toHaveLength(MANY + 1);
    const alphas = [leader, other].map(({ rows }) => new Set(rows.filter(({ rule }) => rule === ALPHA).map(({ session }) => session)));
    expect(alphas.map(({ size }) => size > 0)).toEqual([true, true]);
    expect([...alphas[0]!].filter((session) => alphas[1]!.has(session))).toEqual([]);
    expect(leader.rows.filter(({ rule }) => rule === ACROSS)).toHaveLength(1);
    expect(other.rows.filter(({ rule }) => rule === ACROSS)).toHaveLength(0);
    const together = ids(leader.rows, other.rows);

    // The leader is killed: the other has its sessions once the leases have run out, and finds the same again under the same ids.
    await leader.kill();
    const late = makeSession(['alpha late'], { last: false });
    await world.store(late);
    // As if they had run out.
    await db.deleteFrom('leases').where('holder', '=', leader.name).execute();
    await expect.poll(() => [other.share(), other.leads()]).toEqual([1, true]);
    await other.found(late.live.session);
    await expect.poll(() => ids(other.rows).filter((id) => together.includes(id))).toEqual(together);
    await other.analyzer.close();

    const alone = world.analyzing([ingest.url], { rules: rules() });
    await expect.poll(() => ids(alone.rows)).toEqual(ids(leader.rows, other.rows));
    await alone.analyzer.close();
    await ingest.stop();
  });

  test('the one that does not lead is sent only the rows of its sessions', async () => {
    const feed = new RowFeed();
    const ingest = await world.feeding(feed);
    const paths: string[] = [];
    ingest.sockets.on('connection', (_, request) => paths.push(request.url!));
    const pair = [member('one', [ingest.url]), member('two', [ingest.url])] as const;
    await expect.poll(() => pair.map(({ share }) => share()).reduce((sum, share) => sum + share)).toBe(1);
    await expect.poll(() => pair.filter(({ leads }) => leads())).toHaveLength(1);
    await expect.poll(() => paths.some((path) => path.includes('shares='))).toBe(true);
    expect(paths.some((path) => !path.includes('shares='))).toBe(true);
    for (const { analyzer } of pair) await analyzer.close();
    await ingest.stop();
  });
});
