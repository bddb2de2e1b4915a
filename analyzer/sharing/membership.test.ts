import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SHARES } from '#schemas/events/shares.js';
import { openLog } from '#runtime/log.js';
import { FaultyLeases } from '#stores/leases/faulty.js';
import { underLease } from '#stores/leases/keeper.js';
import { SqlLeases } from '#stores/leases/sql.js';
import { openState } from '#stores/state/open.js';
import type { StateSchema } from '#stores/state/schema.js';
import { Membership } from './membership.js';
import type { Assignment } from './membership.js';

const TTL_MS = 60_000;
const quiet = openLog('test', 'silent');

let folder: string;
let db: Kysely<StateSchema>;
let clock: { now: number };
let members: Member[];
/** Called when a member's assignment changes, and when it has asked who is there. */
let changed: () => void;

/** An analyzer as far as its membership goes. `leases` can be made to fail. */
class Member {
  readonly leases = new FaultyLeases(new SqlLeases(db, async () => clock.now));
  readonly membership: Membership;
  assignment: Assignment | null = null;
  assigned = 0;

  constructor(name: string) {
    this.membership = new Membership({
      alone: (lease, work) => underLease(this.leases, lease, { holder: name, ttlMs: TTL_MS }, work),
      held: (prefix) => this.leases.held(prefix).finally(() => changed()),
      onAssignment: (assignment) => {
        this.assignment = assignment;
        this.assigned += 1;
        changed();
      },
      log: quiet,
      lookMs: 5,
    });
    members.push(this);
  }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-members-'));
  db = await openState({ kind: 'sqlite', file: join(folder, 'state.sqlite') });
  clock = { now: 1_800_000_000_000 };
  members = [];
  changed = () => undefined;
});
afterEach(async () => {
  await Promise.all(members.map(({ membership }) => membership.close()));
  await db.destroy();
  await rm(folder, { recursive: true });
});

/** Resolves when these members, and nobody else, have every share once, and one of them leads. */
async function settled(...among: readonly Member[]): Promise<void> {
  const isSettled = (): boolean => {
    const shares = among.flatMap(({ assignment }) => [...(assignment?.shares ?? [])]);
    return (
      among.every(({ assignment }) => assignment !== null) &&
      shares.length === SHARES &&
      new Set(shares).size === SHARES &&
      among.filter(({ assignment }) => assignment?.leads === true).length === 1
    );
  };
  while (!isSettled()) await new Promise<void>((resolve) => (changed = resolve));
}

test('one has everything; those that come and go share it, and one of them leads', async () => {
  const [a, b, c] = [new Member('a'), new Member('b'), new Member('c')];
  await settled(a, b, c);
  await a.membership.close();
  expect(a.assignment).toBeNull();
  await settled(b, c);
  await b.membership.close();
  await settled(c);
  expect(c.assignment).toMatchObject({ leads: true });
  await settled(c, new Member('d'));
});

test('the sessions of one that is killed go to the others once its seat has run out', async () => {
  // As a killed process leaves them: leases that nobody renews or gives back.
  const dead = new SqlLeases(db, async () => clock.now);
  for (const name of ['analyze/seat-0', 'analyze/sessions']) await dead.acquire({ name, holder: 'dead', ttlMs: 1_000 });
  const [a, b] = [new Member('a'), new Member('b')];
  while (a.assignment === null || b.assignment === null) await new Promise<void>((resolve) => (changed = resolve));
  const owned = (): number => a.assignment!.shares.size + b.assignment!.shares.size;
  while (owned() >= SHARES) await new Promise<void>((resolve) => (changed = resolve));
  expect([a.assignment.leads, b.assignment.leads]).toEqual([false, false]);
  clock.now += 1_000;
  await settled(a, b);
});

test('while the authority does not answer, each keeps what it has', async () => {
  const [a, b] = [new Member('a'), new Member('b')];
  await settled(a, b);
  const before = [a, b].map(({ assigned, assignment }) => ({ assigned, assignment }));
  const asked = a.leases.faults.calls('held') + 7;
  a.leases.faults.failBefore('held', 6);
  while (a.leases.faults.calls('held') < asked) await new Promise<void>((resolve) => (changed = resolve));
  expect([a, b].map(({ assigned, assignment }) => ({ assigned, assignment }))).toEqual(before);
});

test('without others to ask about, the leader follows everything and the next waits', async () => {
  const leases = new SqlLeases(db, async () => clock.now);
  const seen: (readonly [string, Assignment | null])[] = [];
  const sole = (holder: string): Membership =>
    new Membership({
      alone: (lease, work) => underLease(leases, lease, { holder, ttlMs: TTL_MS }, work),
      onAssignment: (assignment) => {
        seen.push([holder, assignment]);
        changed();
      },
      log: quiet,
    });
  const until = async (count: number): Promise<void> => {
    while (seen.length < count) await new Promise<void>((resolve) => (changed = resolve));
  };
  const first = sole('first');
  await until(1);
  const next = sole('next');
  await first.close();
  await until(3);
  await next.close();
  expect(seen.map(([holder, assignment]) => [holder, assignment?.shares.size ?? 0, assignment?.leads ?? false])).toEqual([
    ['first', SHARES, true],
    ['first', 0, false],
    ['next', SHARES, true],
    ['next', 0, false],
  ]);
});
