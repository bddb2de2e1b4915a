/**
 * What the authority tells the stages: CAs, roles, nodes and locks, in memory, read again after every change, and
 * published to whoever listens before the call that changed it is answered.
 *
 * One authority process owns its state, so memory is the truth between commits. Tested in authority.test.ts.
 */
import type { Snapshot } from '#schemas/api.js';
import type { NodeRecord } from '#schemas/role.js';
import { keptRoles } from '#runtime/request-auth.js';
import type { LiveCa } from './ca/ca.js';
import { trustedClusters } from './clusters/cluster-records.js';
import type { Records } from './records.js';
import { grantsInForce } from './requests/records.js';

/** Timers beyond this overflow. */
const LONGEST_TIMER_MS = 3_600_000;

export class Directory {
  readonly #records: Records;
  readonly #ca: LiveCa;
  readonly #cluster: string;
  readonly #clock: () => number;
  readonly #listeners = new Set<(snapshot: Snapshot) => void>();
  #snapshot: Snapshot;
  #timer: NodeJS.Timeout | undefined;
  #reload: Promise<void> = Promise.resolve();

  /** `cluster`: our own name among clusters. */
  static async open(records: Records, ca: LiveCa, cluster: string, clock: () => number): Promise<Directory> {
    const directory = new Directory(records, ca, cluster, clock);
    await directory.changed();
    return directory;
  }

  private constructor(records: Records, ca: LiveCa, cluster: string, clock: () => number) {
    this.#cluster = cluster;
    this.#records = records;
    this.#ca = ca;
    this.#clock = clock;
    this.#snapshot = {
      version: 0,
      ...ca.trust,
      roles: [],
      nodes: [],
      locks: [],
      grants: [],
      cluster,
      clusters: [],
    };
  }

  current(): Snapshot {
    return this.#snapshot;
  }

  node(name: string): NodeRecord | undefined {
    return this.#snapshot.nodes.find((node) => node.name === name);
  }

  /** Reads the state and publishes it. Calls run one after the other: an older reading never replaces a newer. */
  changed(): Promise<void> {
    const next = this.#reload.then(() => this.#read());
    this.#reload = next.catch(() => undefined);
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
    await this.#ca.refresh();
    const [roles, nodes, locks] = [
      await this.#records.roles(),
      await this.#records.nodes(),
      (await this.#records.locks(now)).map(({ created_by: _, created_at: __, ...lock }) => lock),
    ];
    const grants = await this.#records.read((db) => grantsInForce(db, now));
    this.#snapshot = {
      // Grows also over restarts, as far as the clock does.
      version: Math.max(this.#snapshot.version + 1, now),
      ...this.#ca.trust,
      roles: keptRoles(this.#snapshot.roles, roles),
      nodes,
      locks,
      grants,
      cluster: this.#cluster,
      clusters: await this.#records.read(trustedClusters),
    };
    this.#watchExpiry(now);
    for (const listener of this.#listeners) listener(this.#snapshot);
  }

  /** A lock or a grant that ends is a change too. */
  #watchExpiry(now: number): void {
    clearTimeout(this.#timer);
    const next = Math.min(
      ...this.#snapshot.locks.map((lock) => lock.expires_at ?? Infinity),
      ...this.#snapshot.grants.map(({ ends_at }) => ends_at),
    );
    if (next === Infinity) return;
    const timer = setTimeout(() => void this.changed().catch(() => undefined), Math.min(Math.max(next - now, 10), LONGEST_TIMER_MS));
    timer.unref();
    this.#timer = timer;
  }
}
