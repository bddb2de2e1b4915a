/**
 * Nodes of trusted clusters, for `steno nodes`: asked of the other authority, which says what the user may reach there by
 * its own roles; what our roles keep from the user is left out here.
 *
 *     our authority ──signed question──► their viewer ──► their authority ──signed answer──► kept for a minute
 *
 * The way is where the cluster's statements are (`updates`), so it may be any server: both texts count by their
 * signatures alone. The other side learns the user's name and roles, as it does with every session. A list that was asked
 * for a moment ago is not asked for again, nor one of a cluster that did not answer. Tested in far-nodes.test.ts.
 */
import { LRUCache } from 'lru-cache';
import type { ClusterNodes } from '#schemas/api.js';
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

  /** One entry for each cluster that users go to; one that cannot be asked says so and spoils nothing. */
  async list({ identity, roles }: { readonly identity: UserIdentity; readonly roles: readonly Role[] }): Promise<readonly ClusterNodes[]> {
    // Who came from another cluster goes no further.
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

  /** To a question of another cluster. Throws BAD_REQUEST, CLUSTER_UNTRUSTED, REQUEST_REPLAYED, ACCESS_DENIED or LOCKED. */
  async answer(signed: SignedStatement): Promise<SignedStatement> {
    const { directory, presence, clock } = this.#parts;
    const snapshot = directory.current();
    const question = parse(nodesQuestion, signed.statement);
    const cluster = snapshot.clusters.find(({ name }) => name === question?.from);
    if (question === undefined) throw new StenoError('BAD_REQUEST', 'statement: is no question');
    if (cluster === undefined || question.to !== snapshot.cluster || !isSigned(signed, cluster.ssh_user_ca, NODES_NAMESPACE))
      throw new StenoError('CLUSTER_UNTRUSTED', question.from);
    // An old answer tells less than a new one; the window bounds how long a copied question is good for asking.
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
    // Of another trust, user or set of roles it is another question.
    const key = JSON.stringify([cluster.name, cluster.issued_at, cluster.ssh_user_ca, identity.user, identity.roles]);
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > now) return kept.told;
    const entry = {
      until: now + KEPT_MS,
      told: this.#ask(cluster, identity).catch((error: unknown): Told => {
        entry.until = Math.min(entry.until, this.#parts.clock() + FAILURE_KEPT_MS);
        return { nodes: [], unreachable: error instanceof StenoError ? error.message : 'it gave no answer that counts' };
      }),
    };
    this.#kept.set(key, entry);
    return entry.told;
  }

  async #ask(cluster: TrustedCluster, { user, roles }: UserIdentity): Promise<Told> {
    const { directory, clock } = this.#parts;
    if (cluster.updates === null)
      throw new StenoError('BAD_REQUEST', `${cluster.name} was exported without --updates, so nobody can be asked`);
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
