/**
 * Trusted clusters: whom we trust, what we say of ourselves, and keeping both fresh.
 *
 *     (unknown) ──trust, fingerprint compared by a person──► trusted ──statement signed by a trusted key──► trusted
 *                                                               └──untrust──► (unknown), live connections end at once
 *
 * The first trust rests on a comparison of fingerprints, as with a host key; every later change of keys rests on the keys
 * before it. A statement older than the known one is refused, so an old key cannot be brought back. Nothing of trust is
 * passed on: a user who came from another cluster goes no further. Tested in clusters.test.ts.
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

/** What an administrator decides about another cluster. */
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

  /** Our own statement, new; undefined while nobody has said where our gateways are. */
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
    if (statement.name !== name) throw new StenoError('BAD_REQUEST', `the statement is that of ${statement.name}`);
    if (name === own || statement.ssh_user_ca.some((key) => ssh_user_ca.some((mine) => keyOf(mine) === keyOf(key))))
      throw new StenoError('BAD_REQUEST', 'this is the cluster itself');
    const twin = clusters.find(
      (other) =>
        other.name !== name && other.ssh_user_ca.some((theirs) => statement.ssh_user_ca.some((key) => keyOf(key) === keyOf(theirs))),
    );
    if (twin !== undefined) throw new StenoError('BAD_REQUEST', `${twin.name} has the same CA key`);
    if (known !== undefined && statement.issued_at < known.issued_at) throw new StenoError('CLUSTER_STALE', name);
    const gone = Object.values(role_map)
      .flat()
      .find((role) => !roles.some((here) => here.name === role));
    if (gone !== undefined) throw new StenoError('BAD_REQUEST', `role_map: there is no role ${gone}`);
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

  /** Takes the newest statement from where the cluster says it is. Answers whether anything changed. */
  async refresh(name: string, caller: Caller): Promise<{ readonly cluster: TrustedCluster; readonly changed: boolean }> {
    const known = this.#parts.directory.current().clusters.find((cluster) => cluster.name === name);
    if (known === undefined) throw new StenoError('NOT_FOUND', `cluster ${name}`);
    if (known.updates === null)
      throw new StenoError('BAD_REQUEST', `${name} does not say where its statements are; export one there and trust it here`);
    return this.#take(known, await fetchStatement(known.updates), caller);
  }

  async #take(
    known: TrustedCluster,
    signed: SignedStatement,
    caller: Caller,
  ): Promise<{ readonly cluster: TrustedCluster; readonly changed: boolean }> {
    const { records, directory, clock } = this.#parts;
    const statement = checkStatement(signed, known.ssh_user_ca);
    if (statement.name !== known.name) throw new StenoError('CLUSTER_UNTRUSTED', `the statement is that of ${statement.name}`);
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
      // Where the other side is away, what is known of it stands.
      await this.refresh(name, { actor: 'authority', source: '' }).catch((error: unknown) =>
        this.#parts.log.warn({ err: error, cluster: name }, 'a trusted cluster could not be asked for its keys'),
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

/** Two statements that differ in their time only. */
function sameBut(a: TrustedCluster, b: TrustedCluster): boolean {
  return JSON.stringify({ ...a, issued_at: 0 }) === JSON.stringify({ ...b, issued_at: 0 });
}

function keyOf(line: string): string {
  return line.split(' ').slice(0, 2).join(' ');
}
