/** Rechecking only the subjects of a change has the same result as rechecking everybody. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { TrustedCluster } from '#schemas/documents/cluster.js';
import type { Grant } from '#schemas/documents/access-request.js';
import { StenoError } from '#schemas/base/errors.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import type { Allowed } from '#schemas/policy/node.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import { emptySnapshot } from '#schemas/testing/snapshots.js';
import { applyDelta, diffSnapshots, ordered } from '#schemas/watch.js';
import type { AuditEntry, SessionRecorder } from '../recorder/recorder.js';
import type { Access, AccessSource } from './access.js';
import { authorize } from './authorization.js';
import { SnapshotChanges, everybody } from './change-scope.js';
import type { ChangeScope, Subject } from './change-scope.js';
import { SessionRegistry } from './registry.js';

const users = ['ann', 'ben', 'far'] as const;
const roleNames = ['dev', 'ops', 'db'] as const;
const nodeNames = ['web-1', 'web-2', 'db-1'] as const;
const logins = ['root', 'app'] as const;
const requests = ['r-1', 'r-2'] as const;
const sessionsOf = (subject: string): readonly string[] => [`${subject}-s1`, `${subject}-s2`];

const identityFor = (user: string, roles: readonly string[], asked: readonly string[]): UserIdentity =>
  ({
    user,
    roles,
    requests: asked,
    traits: {},
    mfa: user === 'ben' ? 'key-1' : null,
    cluster: user === 'far' ? 'east' : null,
    validBefore: 4_000_000_000,
  }) as unknown as UserIdentity;

/** The identity by this snapshot: users of another cluster get the roles that its role map gives. */
function identityNow(identity: UserIdentity, { clusters }: Snapshot): UserIdentity {
  if (identity.cluster === null) return identity;
  const cluster = clusters.find(({ name }) => name === identity.cluster);
  if (cluster === undefined) throw new StenoError('CERT_UNKNOWN_CA', identity.cluster);
  return { ...identity, roles: Object.values(cluster.role_map).flat() };
}

const subset = <T>(all: readonly T[]): fc.Arbitrary<readonly T[]> => fc.subarray([...all]);
const role = (name: string): fc.Arbitrary<Role> =>
  fc
    .record({
      nodes: fc.constantFrom('*', 'web', 'db'),
      logins: fc.subarray([...logins], { minLength: 1 }),
      max: fc.constantFrom(undefined, 1, 2),
      deny: fc.boolean(),
    })
    .map(({ nodes, logins: allowed, max, deny }) =>
      roleSchema.parse({
        kind: 'role',
        name,
        allow: { nodes: nodes === '*' ? { '*': '*' } : { tier: nodes }, logins: allowed },
        ...(max === undefined ? {} : { max_sessions: max }),
        ...(deny ? { deny: { nodes: { locked: 'yes' }, logins: [] } } : {}),
      }),
    );
const node = (name: string): fc.Arbitrary<NodeRecord> =>
  fc
    .record({ tier: fc.constantFrom('web', 'db'), locked: fc.constantFrom('yes', 'no') })
    .map((labels): NodeRecord => ({ name, kind: 'openssh', address: `${name}:22`, labels, host_keys: [] }) as unknown as NodeRecord);
const subjects = users.flatMap((user) => nodeNames.flatMap((target) => logins.map((login) => `${user}-${target}-${login}`)));
const lock = (id: string): fc.Arbitrary<Lock> =>
  fc
    .constantFrom(
      ...users.map((target) => ['user', target] as const),
      ...roleNames.map((target) => ['role', target] as const),
      ...nodeNames.map((target) => ['node', target] as const),
      ...logins.map((target) => ['login', target] as const),
      ...requests.map((target) => ['request', target] as const),
      ['mfa-device', 'key-1'] as const,
      ...subjects.flatMap((subject) =>
        sessionsOf(subject).flatMap((target) => [['session', target] as const, ['session-input', target] as const]),
      ),
    )
    .chain(([target_kind, target]) =>
      fc.constantFrom(null, 20, 40, 60).map((expires_at): Lock => ({ id, target_kind, target, reason: `${id} of ${target}`, expires_at })),
    );
const grant = (id: string): fc.Arbitrary<Grant> =>
  fc
    .record({ ends_at: fc.constantFrom(30, 50, 1_000), granted: fc.constantFrom(...roleNames), user: fc.constantFrom('ann', 'ben') })
    .map(({ ends_at, granted, user }): Grant => ({ id, user, ends_at, items: [{ kind: 'role', role: granted }] }));
const cluster = fc
  .subarray([...roleNames])
  .map(
    (mapped): TrustedCluster => ({ name: 'east', role_map: { theirs: mapped }, nodes: [], ssh_user_ca: [] }) as unknown as TrustedCluster,
  );
/** Most names are present, so that something is permitted in the first place. */
const some = <T>(names: readonly string[], make: (name: string) => fc.Arbitrary<T>, often: number): fc.Arbitrary<readonly T[]> =>
  fc
    .tuple(...names.map((name) => fc.option(make(name), { freq: often, nil: undefined })))
    .map((made) => made.flatMap((one) => (one === undefined ? [] : [one as T])));

interface Step {
  readonly now: number;
  readonly change: Partial<Snapshot>;
  /** A whole snapshot is sent instead of a change. */
  readonly whole: boolean;
}
const parts: Record<string, fc.Arbitrary<Partial<Snapshot>>> = {
  roles: some(roleNames, role, 6).map((roles) => ({ roles })),
  nodes: some(nodeNames, node, 8).map((nodes) => ({ nodes })),
  locks: some(['l-1', 'l-2', 'l-3'], lock, 1).map((locks) => ({ locks })),
  grants: some(requests, grant, 5).map((grants) => ({ grants })),
  clusters: fc.option(cluster, { freq: 6 }).map((one) => ({ clusters: one === null ? [] : [one] })),
  names: fc.dictionary(fc.constantFrom('ann', 'ben', 'eve'), fc.integer({ min: 0, max: 1 })).map((names_since) => ({ names_since })),
  cas: fc.constantFrom<readonly string[]>(['one'], ['one', 'two']).map((ssh_user_ca) => ({ ssh_user_ca })),
};
const anyChange = fc.oneof(...Object.values(parts));
const step: fc.Arbitrary<Step> = fc.record({
  now: fc.integer({ min: 0, max: 25 }),
  change: fc.oneof(
    anyChange,
    fc.tuple(anyChange, anyChange).map(([one, other]) => ({ ...one, ...other })),
  ),
  whole: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});
const world = fc.record({
  first: fc
    .tuple(
      parts['roles']!,
      parts['nodes']!,
      parts['grants']!,
      cluster.map((one) => ({ clusters: [one] })),
    )
    .map((all): Snapshot => ordered({ ...emptySnapshot, version: 1, ...Object.assign({}, ...(all as object[])) })),
  people: fc.record({ ann: subset(roleNames), ben: subset(roleNames), annAsked: subset(requests), benAsked: subset(requests) }),
  steps: fc.array(step, { minLength: 1, maxLength: 8 }),
});

/** A gateway with one access for each identity that the first snapshot permits, with two sessions each. */
class Gateway {
  readonly audits: AuditEntry[] = [];
  readonly did: string[] = [];
  readonly permitted = new Map<string, Allowed>();
  readonly gates = new Map<string, () => boolean>();
  readonly registry: SessionRegistry;
  readonly accesses: Access[] = [];
  now = 0;

  constructor(first: Snapshot, identities: readonly UserIdentity[]) {
    this.registry = new SessionRegistry({
      name: 'gw',
      now: () => this.now,
      onSession: () => undefined,
      audit: (entry) => void this.audits.push(entry),
    });
    for (const identity of identities)
      for (const name of nodeNames) for (const login of logins) this.#enter(first, identity, { node: name, login });
  }

  #enter(first: Snapshot, identity: UserIdentity, target: { readonly node: string; readonly login: string }): void {
    const subject = `${identity.user}-${target.node}-${target.login}`;
    let decision: Allowed;
    try {
      decision = authorize(first, identityNow(identity, first), target, 0).decision;
    } catch {
      return;
    }
    const source: AccessSource = {
      reauthorize: (snapshot, now) => {
        const { decision: changed } = authorize(snapshot, identityNow(identity, snapshot), target, now);
        this.permitted.set(subject, changed);
        return changed.limits;
      },
      end: ({ code, detail }) => {
        this.did.push(`${subject} ends: ${code} ${detail}`);
        this.permitted.delete(subject);
        access.leave();
      },
    };
    const access = this.registry.admit({ identity, target: { kind: 'node', ...target }, source: '192.0.2.1' }, source);
    this.registry.register(access, decision);
    this.accesses.push(access);
    this.permitted.set(subject, decision);
    for (const session of sessionsOf(subject)) {
      const recorder = { session, fact: () => undefined, gap: () => undefined } as unknown as SessionRecorder;
      const live = access.begin(recorder, {
        end: ({ code }) => void this.did.push(`${session} ends: ${code}`),
        notice: () => undefined,
        reopened: () => void this.did.push(`${session} thaws`),
      });
      this.gates.set(session, () => live.gate.open);
    }
  }

  state(): object {
    return {
      did: this.did,
      audits: this.audits,
      permitted: Object.fromEntries(this.permitted),
      gates: [...this.gates].filter(([, open]) => !open()).map(([session]) => session),
    };
  }
}

describe('a change', () => {
  test('applied only to its subjects leaves the gateway in the same state as applied to everybody', () => {
    let passedOver = 0;
    fc.assert(
      fc.property(world, ({ first, people, steps }) => {
        const identities = [
          identityFor('ann', people.ann, people.annAsked),
          identityFor('ben', people.ben, people.benAsked),
          identityFor('far', ['theirs'], []),
        ];
        const [scoped, full] = [new Gateway(first, identities), new Gateway(first, identities)];
        const changes = new SnapshotChanges(first);
        let snapshot = first;
        let now = 0;
        for (const { now: later, change, whole } of steps) {
          now += later;
          scoped.now = full.now = now;
          const wanted = ordered({ ...snapshot, ...change, version: snapshot.version + 1 });
          const delta = diffSnapshots(snapshot, wanted);
          if (delta === null) continue;
          snapshot = applyDelta(snapshot, JSON.parse(JSON.stringify(delta)) as typeof delta);
          const scope = changes.next(snapshot, whole ? null : delta, now);
          passedOver += scoped.accesses.filter((access) => !access.isConcerned(scope)).length;
          const effects = scoped.registry.recheck(snapshot, scope);
          expect(effects).toEqual(full.registry.recheck(snapshot, everybody));
          expect(scoped.state()).toEqual(full.state());
        }
        for (const { accesses } of [scoped, full]) for (const access of accesses) access.leave();
      }),
      { numRuns: 1_500 },
    );
    // Otherwise the property would hold only because no access was ever skipped.
    expect(passedOver).toBeGreaterThan(1_000);
  });

  const ann: Subject = { identity: identityFor('ann', ['dev'], []), target: { kind: 'node', node: 'web-1', login: 'root' } };
  const kube: Subject = { ...ann, target: { kind: 'kube', cluster: 'shop', request: null } };
  const before = ordered({
    ...emptySnapshot,
    version: 1,
    locks: [{ id: 'l-1', target_kind: 'node', target: 'web-1', reason: '', expires_at: null }],
  });
  const scopeOf = (change: Partial<Snapshot>, now = 0): ChangeScope => {
    const after = ordered({ ...before, ...change, version: 2 });
    return new SnapshotChanges(before).next(after, diffSnapshots(before, after), now);
  };
  const nodes = (...names: readonly string[]): Partial<Snapshot> => ({ nodes: names.map((name) => ({ name })) as never });

  test.each<[string, Partial<Snapshot>, boolean]>([
    ['of another node', nodes('web-2'), false],
    ['of its node', nodes('web-1'), true],
    ['of another role', { roles: [{ name: 'ops' }] as never }, false],
    ['of its role', { roles: [{ name: 'dev' }] as never }, true],
    ['of the lock on its node', { locks: [] }, true],
    ['of the name of another user', { names_since: { ben: 1 } }, false],
    ['of its name', { names_since: { ann: 1 } }, true],
    ['of a CA', { ssh_user_ca: ['new'] }, true],
  ])('%s', (_, change, concerned) => {
    expect(scopeOf({ ...change, ...(change.locks === undefined ? { locks: before.locks } : {}) }).concerns(ann)).toBe(concerned);
  });

  test('of a Kubernetes cluster concerns the users connected to it', () => {
    const change = { locks: before.locks, kube_clusters: [{ name: 'shop' }] as never };
    expect([scopeOf(change).concerns(kube), scopeOf(change).concerns(ann)]).toEqual([true, false]);
    expect(scopeOf({ locks: before.locks, ...nodes('web-1') }).concerns(kube)).toBe(false);
    expect(scopeOf({ locks: before.locks, roles: [{ name: 'dev' }] as never }).concerns(kube)).toBe(true);
  });

  test('that does not follow the last snapshot concerns everybody', () => {
    const changes = new SnapshotChanges(before);
    const [second, third] = [2, 3].map((version) => ordered({ ...before, ...nodes('web-2', `x-${version}`), version }));
    expect(changes.next(third!, diffSnapshots(second!, third!), 0)).toBe(everybody);
    expect(new SnapshotChanges(null).next(second!, diffSnapshots(before, second!), 0)).toBe(everybody);
  });
});
