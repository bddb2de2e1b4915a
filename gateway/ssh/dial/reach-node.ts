/**
 * From an admitted user to an open SSH connection with their node: a slot in the dial queue, the session certificate, the
 * dial, and a second attempt with a newer certificate if the node refuses one that our clock considers fresh. Tested in
 * ../server/gateway.test.ts and test/end-to-end/clocks.test.ts.
 */
import type { RemoteNode } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { CHECKING_NODE_IDENT, EXTENSION_FORWARDING } from '#schemas/base/identity.js';
import type { Target } from '#schemas/base/identity.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { Transport } from '../transport/transport.js';
import { dialCluster } from './dial-cluster.js';
import type { DialQueue } from './dial-queue.js';
import { dial } from './dial.js';
import type { OpenTunnel } from './dial.js';
import type { ProvenUser, SessionCertificates } from './session-certificates.js';

export interface ReachDeps {
  readonly certificates: SessionCertificates;
  readonly dialQueue: DialQueue;
  readonly openTunnel: OpenTunnel;
  /** ms since 1970. */
  readonly now: () => number;
}

export interface ReachRequest {
  readonly user: ProvenUser;
  readonly target: Target;
  readonly node: NodeRecord;
  /** Set when the node is reached through the gateways of a trusted cluster. */
  readonly remote: RemoteNode | undefined;
  /** Public key lines of the host CA. */
  readonly hostAuthorities: readonly string[];
  /** Aborted when the user disconnects. */
  readonly signal: AbortSignal;
}

export interface Reached {
  readonly transport: Transport;
  /** Duration of the dial in ms: an upper bound for a message's way to the node. */
  readonly delayMs: number;
  /** The forwarding rules in the certificate, for a node that checks destinations; null for any other node. */
  readonly told: string | null;
}

/** Rejects as `dial` and `SessionCertificates.of` do. */
export async function reachNode(deps: ReachDeps, { user, target, node, remote, hostAuthorities, signal }: ReachRequest): Promise<Reached> {
  const { certificates } = deps;
  let shownLast: Promise<Uint8Array> | undefined;
  const reach = (shown: Promise<Uint8Array>): Promise<Transport> => {
    shownLast = shown;
    const request = {
      node,
      openTunnel: deps.openTunnel,
      source: user.source,
      login: target.login,
      key: certificates.key,
      certificate: shown,
      hostAuthorities: hostAuthorities.map((line) => parseAuthorizedLine(line).blob),
      now: () => deps.now() / 1000,
      signal,
    };
    return remote === undefined ? dial(request) : dialCluster(request, remote);
  };
  let dialledAt = 0;
  const transport = await deps.dialQueue.with(node.name, signal, () => {
    dialledAt = performance.now();
    const certificate = certificates.of(user, target.login, target.node);
    return reach(certificate).catch(async (error: unknown) => {
      if (!(error instanceof StenoError) || error.code !== 'NODE_REFUSED') throw error;
      // The node's clock may be ahead of ours by more than the certificate's remaining lifetime.
      const fresh = await certificates.replacement(await certificate, user, target.login, target.node);
      if (fresh === null || signal.aborted) throw error;
      return reach(Promise.resolve(fresh));
    });
  });
  return { transport, delayMs: performance.now() - dialledAt, told: rulesTold(transport, await shownLast!) };
}

function rulesTold(node: Transport, certificate: Uint8Array): string | null {
  return node.software === CHECKING_NODE_IDENT ? (parseCertificate(certificate).extensions.get(EXTENSION_FORWARDING) ?? null) : null;
}
