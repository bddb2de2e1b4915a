/**
 * Joins a machine through a gateway, given only its address, a token, and the pin of the service CA.
 *
 * The CA is found by its pin (runtime/service/pinned-tls.ts). The token is never sent; the request is signed with it
 * (schemas/join.ts). Tested in test/agent/tunnel.test.ts and renewal.test.ts.
 */
import { X509Certificate } from 'node:crypto';
import { Agent } from 'node:https';
import type { JoinResult } from '#schemas/api/inventory/nodes.js';
import type { Enrolment } from '#schemas/api/services/certificates.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SshMode } from '#schemas/join.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { certificatesIn, pinOf, signJoin, signRenewal } from '#runtime/service/joining.js';
import type { NodeKeys } from '#runtime/service/joining.js';
import { PinnedAgent, isOfKind, pinnedCa, verificationFailure } from '#runtime/service/pinned-tls.js';

export interface JoinPlan {
  /** `host:port` of gateways, tried in turn until one answers. */
  readonly gateways: readonly string[];
  readonly pins: readonly string[];
  readonly token: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ssh: SshMode;
}

/** Rejects with GATEWAY_UNTRUSTED, JOIN_REFUSED, NODE_NAME_TAKEN, LABEL_NOT_ALLOWED, or NOT_RUNNING if none answers. */
export async function join(plan: JoinPlan, keys: NodeKeys): Promise<Extract<JoinResult, { kind: 'joined' }>> {
  return firstOf(plan.gateways, async (gateway) => {
    const ca = await findCa(gateway, plan.pins);
    const link = new PinnedAgent(ca, 'gateway');
    try {
      const place = { kind: 'tls', url: `https://${gateway}`, agent: link } as const;
      const { nonce } = (await callAuthority(place, { method: 'POST', target: '/v1/join/challenge', body: {} })) as { nonce: string };
      const body = signJoin(plan.token, keys, {
        nonce,
        channel: link.channel(),
        name: plan.name,
        labels: plan.labels,
        ssh: plan.ssh,
        node_principals: plan.ssh === 'service',
      });
      const result = (await callAuthority(place, { method: 'POST', target: '/v1/join', body })) as Extract<JoinResult, { kind: 'joined' }>;
      // The gateway relays the answer: trust only the CAs in it that match the pins.
      const pinned = certificatesIn(result.enrolment.service_ca).filter((pem) =>
        plan.pins.includes(pinOf(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }))),
      );
      return { ...result, enrolment: { ...result.enrolment, service_ca: pinned.map((pem) => `${pem}\n`).join('') } };
    } catch (error) {
      throw untrusted(error, gateway) ?? error;
    } finally {
      link.destroy();
    }
  });
}

/** Gets new certificates for a node whose certificates expired while it was off; its key proves its identity. */
export async function rejoin(
  gateways: readonly string[],
  serviceCa: string,
  name: string,
  keys: NodeKeys,
  now: number,
): Promise<Enrolment> {
  let tried = 0;
  return firstOf(gateways, async (gateway) => {
    // A renewal is accepted once, even if its answer was lost: sign a new one for each gateway.
    const agent = new Agent({ ca: serviceCa, checkServerIdentity: isOfKind('gateway'), minVersion: 'TLSv1.3', maxCachedSessions: 0 });
    try {
      return (await callAuthority(
        { kind: 'tls', url: `https://${gateway}`, agent },
        { method: 'POST', target: '/v1/join/renew', body: signRenewal(keys, name, now + tried++) },
      )) as Enrolment;
    } catch (error) {
      throw untrusted(error, gateway) ?? error;
    } finally {
      agent.destroy();
    }
  });
}

async function findCa(gateway: string, pins: readonly string[]): Promise<string> {
  const ca = await pinnedCa(gateway, pins);
  if (ca === null) throw new StenoError('GATEWAY_UNTRUSTED', `no CA of ${gateway} matches a pin`);
  return ca;
}

/** Errors of TLS verification, as opposed to an unreachable gateway. */
function untrusted(error: unknown, gateway: string): StenoError | undefined {
  const why = verificationFailure(error);
  return why === undefined ? undefined : new StenoError('GATEWAY_UNTRUSTED', `${gateway} (${why})`, { cause: error });
}

/** Skips unreachable gateways; any other refusal is final. */
async function firstOf<T>(gateways: readonly string[], ask: (gateway: string) => Promise<T>): Promise<T> {
  let last: unknown = new StenoError('USAGE', 'no gateway was given');
  for (const gateway of gateways) {
    try {
      return await ask(gateway);
    } catch (error) {
      if (!(error instanceof StenoError && error.entry.retryable)) throw error;
      last = error;
    }
  }
  throw last;
}
