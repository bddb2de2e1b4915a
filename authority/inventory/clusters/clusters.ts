/**
 * Trusted clusters: the clusters we trust, our own statement, and keeping both current.
 *
 *     (unknown) ──trust, fingerprint compared by a person──► trusted ──statement signed by a trusted key──► trusted
 *                                                               └──untrust──► (unknown), live connections end at once
 *
 * Initial trust relies on comparing fingerprints, as with a host key; every later change of keys relies on the previous
 * keys. A statement older than the known one is refused, so an old key cannot be reintroduced. Trust is not transitive: a
 * user from another cluster cannot go on to a third. Tested in clusters.test.ts.
 */
import type { ClusterStatement, SignedStatement, TrustedCluster } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import type { Ca } from '../../ca/ca.js';
import type { Directory } from '../../directory/directory.js';
import { assertNoNodeNamed, hostOf } from '../nodes/host-names.js';
import type { Records } from '../../records/records.js';
import { deleteCluster, ownCluster, putCluster, putOwnCluster } from '../../records/clusters.js';
import type { OwnCluster } from '../../records/clusters.js';
import { fetchStatement } from './refresh.js';
import { checkStatement, ownKeys } from './statement.js';

export interface ClustersParts {
  readonly ca: Ca;
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
  readonly log: Log;
}

/** An administrator's decision about another cluster. */
export interface Trust extends Pick<TrustedCluster, 'role_map' | 'reach'> {
  readonly signed: SignedStatement;
}

export const REFRESH_MS = 60_000;

export class Clusters {
  readonly #parts: ClustersParts;
  readonly #timer: NodeJS.Timeout;

  constructor(parts: ClustersParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => void this.#refreshAll(), REFRESH_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Our own current statement; undefined until the addresses of our gateways have been set. */
  async statement(): Promise<SignedStatement | undefined> {
    const own = await this.#parts.records.read(ownCluster);
    return own === undefined ? undefined : this.#sign(own);
  }

  async export(own: OwnCluster, caller: Caller): Promise<SignedStatement> {
    const { records, directory, clock } = this.#parts;
    await records.act(
      [auditRow(clock(), caller, { event: 'cluster.export', target: directory.current().cluster, data: own })],
      async (tx) => {
        await assertNoNodeNamed(tx, own.gateways.map(hostOf), 'a gateway exported to other clusters');
        await putOwnCluster(tx, own);
      },
    );
    return this.#sign(own);
  }

  async trust(name: string, { signed, role_map, reach }: Trust, caller: Caller): Promise<TrustedCluster> {
    const { records, directory, clock } = this.#parts;
    const { clusters, cluster: own, roles, ssh_user_ca } = directory.current();
    const known = clusters.find((cluster) => cluster.name === name);
    const statement = checkStatement(signed, ownKeys(signed));
    if (statement.name !== name) throw new StenoError('BAD_REQUEST', `the statement belongs to cluster ${statement.name}`);
    if (name === own || statement.ssh_user_ca.some((key) => ssh_user_ca.some((mine) => keyOf(mine) === keyOf(key))))
      throw new StenoError('BAD_REQUEST', "this is the cluster's own statement");
    const twin = clusters.find(
      (other) =>
        other.name !== name && other.ssh_user_ca.some((theirs) => statement.ssh_user_ca.some((key) => keyOf(key) === keyOf(theirs))),
    );
    if (twin !== undefined) throw new StenoError('BAD_REQUEST', `cluster ${twin.name} has the same CA key`);
    if (known !== undefined && statement.issued_at < known.issued_at) throw new StenoError('CLUSTER_STALE', name);
    const gone = Object.values(role_map)
      .flat()
      .find((role) => !roles.some((here) => here.name === role));
    if (gone !== undefined) throw new StenoError('BAD_REQUEST', `role_map: role ${gone} does not exist`);
    const cluster: TrustedCluster = { ...statement, role_map, reach };
    await records.act(
      [auditRow(clock(), caller, { event: 'cluster.trust', target: name, data: { cluster, before: known ?? null } })],
      (tx) => putCluster(tx, cluster, caller.actor, clock()),
    );
    await directory.changed();
    return cluster;
  }

  async untrust(name: string, caller: Caller): Promise<void> {
    const { records, directory, clock } = this.#parts;
    await records.act([auditRow(clock(), caller, { event: 'cluster.untrust', target: name })], async (tx) => {
      if (!(await deleteCluster(tx, name))) throw new StenoError('NOT_FOUND', `cluster ${name}`);
    });
    await directory.changed();
  }

  /** Fetches the newest statement from the cluster's own address. Returns whether anything changed. */
  async refresh(name: string, caller: Caller): Promise<{ readonly cluster: TrustedCluster; readonly changed: boolean }> {
    const known = this.#parts.directory.current().clusters.find((cluster) => cluster.name === name);
    if (known === undefined) throw new StenoError('NOT_FOUND', `cluster ${name}`);
    if (known.updates === null)
      throw new StenoError('BAD_REQUEST', `cluster ${name} gives no address for its statements; export one there and trust it here`);
    return this.#take(known, await fetchStatement(known.updates), caller);
  }

  async #take(
    known: TrustedCluster,
    signed: SignedStatement,
    caller: Caller,
  ): Promise<{ readonly cluster: TrustedCluster; readonly changed: boolean }> {
    const { records, directory, clock } = this.#parts;
    const statement = checkStatement(signed, known.ssh_user_ca);
    if (statement.name !== known.name) throw new StenoError('CLUSTER_UNTRUSTED', `the statement belongs to cluster ${statement.name}`);
    if (statement.issued_at < known.issued_at) throw new StenoError('CLUSTER_STALE', known.name);
    const cluster: TrustedCluster = { ...statement, role_map: known.role_map, reach: known.reach };
    if (sameBut(cluster, known)) return { cluster: known, changed: false };
    await records.act(
      [auditRow(clock(), caller, { event: 'cluster.update', target: known.name, data: { cluster, before: known } })],
      (tx) => putCluster(tx, cluster, caller.actor, clock()),
    );
    await directory.changed();
    return { cluster, changed: true };
  }

  async #refreshAll(): Promise<void> {
    for (const { name, updates } of this.#parts.directory.current().clusters) {
      if (updates === null) continue;
      // While the other side is unreachable, its known keys stay in use.
      await this.refresh(name, { actor: 'authority', source: '' }).catch((error: unknown) =>
        this.#parts.log.warn({ err: error, cluster: name }, 'failed to fetch the keys of a trusted cluster'),
      );
    }
  }

  async #sign({ gateways, updates }: OwnCluster): Promise<SignedStatement> {
    const { ca, directory, clock } = this.#parts;
    const { cluster, ssh_user_ca, ssh_host_ca } = directory.current();
    const statement = JSON.stringify({
      version: 1,
      name: cluster,
      issued_at: clock(),
      ssh_user_ca: [...ssh_user_ca],
      ssh_host_ca: [...ssh_host_ca],
      gateways: [...gateways],
      updates,
    } satisfies ClusterStatement);
    return { statement, signatures: [...(await ca.signStatement(Buffer.from(statement)))] };
  }
}

/** Whether two statements differ only in their time. */
function sameBut(a: TrustedCluster, b: TrustedCluster): boolean {
  return JSON.stringify({ ...a, issued_at: 0 }) === JSON.stringify({ ...b, issued_at: 0 });
}

function keyOf(line: string): string {
  return line.split(' ').slice(0, 2).join(' ');
}
