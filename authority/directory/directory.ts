/**
 * The snapshot for the stages: CAs, roles, nodes and locks, in memory, updated after every change, and published to
 * listeners before the call that caused the change is answered.
 *
 * Of nodes and roles only changed rows are read again, according to the store's change log. Reads run one at a time, and
 * changes that arrive meanwhile share the next one. A timer handles expiring locks and grants. Nothing is published if
 * nothing differs. Tested in directory.test.ts and ../app.test.ts.
 */
import type { Snapshot } from '#schemas/snapshot.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import { changeList, diffSnapshots, nodeIn, ordered } from '#schemas/watch.js';
import { changesAfter } from '#stores/state/directory-changes.js';
import type { DirectoryChanges } from '#stores/state/directory-changes.js';
import type { ChangeKind } from '#stores/state/schema.js';
import type { LiveCa } from '../ca/ca.js';
import { trustedClusters } from '../records/clusters.js';
import { allKubeClusters } from '../records/kube-clusters.js';
import { markOwnAccounts, ownMachine } from './own-machine.js';
import type { OwnMachine } from './own-machine.js';
import { allNodes, allRoles, locksInForce, nodesNamed, noticesInForce, readTogether, rolesNamed } from '../records/records.js';
import type { Reader, Records } from '../records/records.js';
import { namesSince } from '../records/names.js';
import { removedServices } from '../services/removed.js';
import { ruleSetVersion } from '../records/detection/rules.js';
import { siemSetDigest } from '../records/detection/siem.js';
import { invitationsInForce } from '../records/session-invitations.js';
import { grantsInForce } from '../records/requests.js';

/** Longer timers would overflow. */
const LONGEST_TIMER_MS = 3_600_000;

export class Directory {
  readonly #records: Records;
  readonly #ca: LiveCa;
  readonly #clock: () => number;
  readonly #listeners = new Set<(snapshot: Snapshot) => void>();
  #snapshot: Snapshot;
  /** The snapshot's position in the change log; null before the first read. */
  #position: number | null = null;
  #machine: OwnMachine | undefined;
  /** When the next lock or grant of the snapshot expires. */
  #expiry = Infinity;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();
  /** A read that has not begun: it will include everything committed by now. */
  #next: Promise<void> | undefined;

  /** `cluster`: our own cluster's name. */
  static async open(records: Records, ca: LiveCa, cluster: string, clock: () => number): Promise<Directory> {
    const directory = new Directory(records, ca, cluster, clock);
    await directory.changed();
    return directory;
  }

  private constructor(records: Records, ca: LiveCa, cluster: string, clock: () => number) {
    this.#records = records;
    this.#ca = ca;
    this.#clock = clock;
    this.#snapshot = {
      version: 0,
      ...ca.trust,
      roles: [],
      nodes: [],
      locks: [],
      notices: [],
      invitations: [],
      removed_services: [],
      grants: [],
      void_grants: [],
      names_since: {},
      own_since: {},
      cluster,
      clusters: [],
      kube_clusters: [],
    };
  }

  current(): Snapshot {
    return this.#snapshot;
  }

  node(name: string): NodeRecord | undefined {
    return nodeIn(this.#snapshot.nodes, name);
  }

  /** Reads and publishes what has changed. Everything committed before this call is in `current` when it resolves. */
  changed(): Promise<void> {
    if (this.#next !== undefined) return this.#next;
    const next = this.#reading.then(() => {
      this.#next = undefined;
      return this.#read();
    });
    this.#next = next;
    this.#reading = next.catch(() => undefined);
    return next;
  }

  onChange(listener: (snapshot: Snapshot) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  async #read(): Promise<void> {
    const now = this.#clock();
    const before = this.#snapshot;
    const { changes, parts } = await this.#records.read((db) =>
      readTogether(db, async (tx) => {
        const read = await changesAfter(tx, this.#position);
        return { changes: read, parts: await this.#changedParts(tx, read.changed, now) };
      }),
    );
    const cas = changes.changed === null || changes.changed.has('cas');
    if (cas) await this.#ca.refresh();
    const snapshot = ordered({ ...before, ...(cas ? this.#ca.trust : {}), ...parts });
    this.#position = changes.position;
    // Increases across restarts too, as far as the clock does.
    const version = Math.max(before.version + 1, now);
    this.#expire(snapshot, now);
    if (before.version !== 0 && diffSnapshots(before, { ...snapshot, version }) === null) return;
    this.#snapshot = { ...snapshot, version };
    for (const listener of this.#listeners) listener(this.#snapshot);
  }

  async #changedParts(db: Reader, changed: DirectoryChanges['changed'], now: number): Promise<Partial<Snapshot>> {
    const touched = (...kinds: readonly ChangeKind[]): boolean => changed === null || kinds.some((kind) => changed.has(kind));
    const due = this.#expiry <= now;
    const roles = await this.#roles(db, changed?.get('roles'), changed === null);
    const nodes = await this.#nodes(db, changed?.get('nodes'), changed === null);
    const granted = touched('requests', 'roles') || due ? await grantsInForce(db, now, roles) : undefined;
    return {
      roles,
      nodes,
      ...(touched('locks') || due
        ? { locks: (await locksInForce(db, now)).map(({ created_by: _, created_at: __, ...lock }) => lock) }
        : {}),
      ...(touched('notices') || due ? { notices: await noticesInForce(db, now) } : {}),
      ...(touched('invitations') || due ? { invitations: await invitationsInForce(db, now) } : {}),
      ...(touched('services') || due ? { removed_services: await removedServices(db, now) } : {}),
      ...(granted === undefined ? {} : { grants: granted.grants, void_grants: granted.voided }),
      ...(touched('names') ? await namesSince(db) : {}),
      ...(touched('clusters') ? { clusters: await trustedClusters(db) } : {}),
      ...(touched('rules') ? { rule_set: await ruleSetVersion(db) } : {}),
      ...(touched('siem') ? { siem_set: await siemSetDigest(db) } : {}),
      ...(touched('kube_clusters') ? { kube_clusters: await allKubeClusters(db) } : {}),
    };
  }

  async #roles(db: Reader, names: ReadonlySet<string> | undefined, all: boolean): Promise<readonly Role[]> {
    if (all) return allRoles(db);
    if (names === undefined) return this.#snapshot.roles;
    const read = await rolesNamed(db, [...names]);
    return changeList(this.#snapshot.roles, read, without(names, read), 'name');
  }

  async #nodes(db: Reader, names: ReadonlySet<string> | undefined, all: boolean): Promise<readonly NodeRecord[]> {
    const machine = ownMachine();
    // A changed address of this machine changes which nodes are on it.
    const moved = JSON.stringify(machine) !== JSON.stringify(this.#machine);
    this.#machine = machine;
    if (all || moved) return markOwnAccounts(await allNodes(db), machine);
    if (names === undefined) return this.#snapshot.nodes;
    const read = markOwnAccounts(await nodesNamed(db, [...names]), machine);
    return changeList(this.#snapshot.nodes, read, without(names, read), 'name');
  }

  /** The end of a lock or grant is a change too. */
  #expire({ locks, notices, invitations, grants, removed_services: removed }: Snapshot, now: number): void {
    clearTimeout(this.#timer);
    this.#expiry = [
      ...locks.map((lock) => lock.expires_at ?? Infinity),
      ...notices.map(({ expires_at: at }) => at),
      ...invitations.map(({ expires_at: at }) => at),
      ...grants.map(({ ends_at }) => ends_at),
      ...removed.map(({ until }) => until),
    ].reduce((least, at) => Math.min(least, at), Infinity);
    if (this.#expiry === Infinity) return;
    const wait = Math.min(Math.max(this.#expiry - now, 10), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => void this.changed().catch(() => undefined), wait);
    this.#timer.unref();
  }
}

/** The names that were not found. */
function without(names: ReadonlySet<string>, found: readonly { readonly name: string }[]): readonly string[] {
  const there = new Set(found.map(({ name }) => name));
  return [...names].filter((name) => !there.has(name));
}
