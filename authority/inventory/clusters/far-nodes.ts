/**
 * Nodes of trusted clusters, for `steno nodes`: the other authority lists what the user may reach there under its own roles,
 * and nodes that our roles deny are removed here.
 *
 *     our authority ──signed question──► their viewer ──► their authority ──signed answer──► kept for a minute
 *
 * The address is that of the cluster's statements (`updates`), which may be any server: both texts are trusted by their
 * signatures alone. The other side learns the user's name and roles, as with every session. A recent list is reused, and so
 * is a recent failure to answer. Tested in far-nodes.test.ts.
 */
import { LRUCache } from 'lru-cache';
import type { ClusterNodes } from '#schemas/api/inventory/clusters.js';
import {
  MAX_NODES_STATEMENT,
  NODES_NAMESPACE,
  NODES_WINDOW_MS,
  importedIdentity,
  nodesAnswer,
  nodesQuestion,
  remoteNode,
} from '#schemas/documents/cluster.js';
import type { NodesAnswer, NodesQuestion, SignedStatement, TrustedCluster } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { reachableNodes } from '#schemas/policy/node.js';
import type { Role } from '#schemas/policy/role.js';
import { assertCounts } from '#runtime/http/request-auth.js';
import type { Ca } from '../../ca/ca.js';
import type { Directory } from '../../directory/directory.js';
import type { Presence } from '../nodes/presence.js';
import { askNodes } from './refresh.js';
import { isSigned } from './statement.js';

export interface FarNodesParts {
  readonly ca: Ca;
  readonly directory: Directory;
  readonly presence: Presence;
  readonly clock: () => number;
}

const KEPT_MS = 60_000;
const FAILURE_KEPT_MS = 15_000;
const MAX_KEPT = 1_000;

type Told = { readonly nodes: NodesAnswer['nodes']; readonly unreachable: string | null };

export class FarNodes {
  readonly #parts: FarNodesParts;
  readonly #kept = new LRUCache<string, { readonly told: Promise<Told>; until: number }>({ max: MAX_KEPT });

  constructor(parts: FarNodesParts) {
    this.#parts = parts;
  }

  /** One entry per cluster that users may go to; a cluster that cannot be queried says so and does not affect the others. */
  async list({ identity, roles }: { readonly identity: UserIdentity; readonly roles: readonly Role[] }): Promise<readonly ClusterNodes[]> {
    // A user from another cluster cannot go on to a third.
    if (identity.cluster !== null) return [];
    const { clusters } = this.#parts.directory.current();
    const subject = { user: identity.user, traits: identity.traits, roles };
    return Promise.all(
      clusters
        .filter(({ reach, gateways }) => reach && gateways.length > 0)
        .map(async (cluster): Promise<ClusterNodes> => {
          const { nodes, unreachable } = await this.#told(cluster, identity);
          const known = nodes.flatMap(({ name, state }) => {
            const node = remoteNode([cluster], `${name}.${cluster.name}`)?.node;
            return node === undefined ? [] : [{ name: node.name, labels: node.labels, state }];
          });
          return { cluster: cluster.name, nodes: reachableNodes(subject, known), unreachable };
        }),
    );
  }

  /**
   * Answers a question of another cluster. Throws BAD_REQUEST, CLUSTER_UNTRUSTED, REQUEST_REPLAYED, ACCESS_DENIED or LOCKED.
   */
  async answer(signed: SignedStatement): Promise<SignedStatement> {
    const { directory, presence, clock } = this.#parts;
    const snapshot = directory.current();
    const question = parse(nodesQuestion, signed.statement);
    const cluster = snapshot.clusters.find(({ name }) => name === question?.from);
    if (question === undefined) throw new StenoError('BAD_REQUEST', 'statement: is not a question');
    if (cluster === undefined || question.to !== snapshot.cluster || !isSigned(signed, cluster.ssh_user_ca, NODES_NAMESPACE))
      throw new StenoError('CLUSTER_UNTRUSTED', question.from);
    // The window limits how long a copied question is useful.
    if (Math.abs(clock() - question.time) > NODES_WINDOW_MS) throw new StenoError('REQUEST_REPLAYED', 'its time');
    const { from, to, user, time } = question;
    const identity = importedIdentity(
      { user, roles: question.roles, traits: {}, mfa: null, requests: [], cluster: null, serial: '', keyId: '', validBefore: 0 },
      cluster,
    );
    if (identity === null) throw new StenoError('ACCESS_DENIED', `no role of a user of ${cluster.name} counts here`);
    const roles = assertCounts(identity, snapshot, clock());
    const live = await presence.live();
    const nodes = reachableNodes({ user: identity.user, traits: {}, roles }, snapshot.nodes).map(({ name, kind }) => ({
      name,
      state: kind === 'openssh' ? ('agentless' as const) : live.has(name) ? ('live' as const) : ('gone' as const),
    }));
    return this.#sign({ version: 1, kind: 'answer', from, to, user, time, nodes });
  }

  #told(cluster: TrustedCluster, identity: UserIdentity): Promise<Told> {
    const now = this.#parts.clock();
    // With another trust, user or set of roles, it is a different question.
    const key = JSON.stringify([cluster.name, cluster.issued_at, cluster.ssh_user_ca, identity.user, identity.roles]);
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > now) return kept.told;
    const entry = {
      until: now + KEPT_MS,
      told: this.#ask(cluster, identity).catch((error: unknown): Told => {
        entry.until = Math.min(entry.until, this.#parts.clock() + FAILURE_KEPT_MS);
        return { nodes: [], unreachable: error instanceof StenoError ? error.message : 'it sent no valid answer' };
      }),
    };
    this.#kept.set(key, entry);
    return entry.told;
  }

  async #ask(cluster: TrustedCluster, { user, roles }: UserIdentity): Promise<Told> {
    const { directory, clock } = this.#parts;
    if (cluster.updates === null)
      throw new StenoError('BAD_REQUEST', `cluster ${cluster.name} was exported without --updates, so it cannot be queried`);
    const question: NodesQuestion = {
      version: 1,
      kind: 'question',
      from: directory.current().cluster,
      to: cluster.name,
      user,
      roles: [...roles],
      time: clock(),
    };
    const signed = await askNodes(cluster.updates, await this.#sign(question));
    const answer = parse(nodesAnswer, signed.statement);
    const fits =
      answer !== undefined &&
      answer.from === question.from &&
      answer.to === question.to &&
      answer.user === user &&
      answer.time === question.time;
    if (!fits || !isSigned(signed, cluster.ssh_user_ca, NODES_NAMESPACE))
      throw new StenoError('CLUSTER_UNTRUSTED', `the answer of ${cluster.name}`);
    return { nodes: answer.nodes, unreachable: null };
  }

  async #sign(said: NodesQuestion | NodesAnswer): Promise<SignedStatement> {
    const statement = JSON.stringify(said);
    if (statement.length > MAX_NODES_STATEMENT) throw new StenoError('TOO_LARGE', 'the list of nodes');
    return { statement, signatures: [...(await this.#parts.ca.signStatement(Buffer.from(statement), NODES_NAMESPACE))] };
  }
}

function parse<T>(schema: { safeParse(value: unknown): { readonly success: boolean; readonly data?: T } }, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
