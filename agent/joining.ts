/**
 * How a machine joins through a gateway, knowing no more than its address, a token, and the pin of the service CA.
 *
 *     look ──a CA of the chain has the pin──► trust that CA, connect again ──► challenge ──► join, on one connection
 *       └──none has──► GATEWAY_UNTRUSTED, and nothing was said
 *
 * The first connection believes nothing and says nothing: it is there to find the CA's certificate. The second is checked
 * by TLS as every other, against that CA alone. The token stays here; what is sent is signed with it
 * (schemas/join.ts). Tested in test/agent/tunnel.test.ts and renewal.test.ts.
 */
import { X509Certificate } from 'node:crypto';
import { Agent } from 'node:https';
import { connect } from 'node:tls';
import type { ConnectionOptions, DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import type { Duplex } from 'node:stream';
import type { Enrolment, JoinResult } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import { parseServiceName } from '#schemas/identity.js';
import type { SshMode } from '#schemas/join.js';
import { callAuthority } from '#runtime/authority-http.js';
import { certificatesIn, pinOf, signJoin, signRenewal } from '#runtime/joining.js';
import type { NodeKeys } from '#runtime/joining.js';

const LOOK_LIMIT_MS = 10_000;
const MAX_CHAIN = 8;

export interface JoinPlan {
  /** `host:port` of gateways, asked in turn until one answers. */
  readonly gateways: readonly string[];
  readonly pins: readonly string[];
  readonly token: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ssh: SshMode;
}

/** Rejects with GATEWAY_UNTRUSTED, JOIN_REFUSED, NODE_NAME_TAKEN, LABEL_NOT_ALLOWED, or NOT_RUNNING when none answers. */
export async function join(plan: JoinPlan, keys: NodeKeys): Promise<Extract<JoinResult, { kind: 'joined' }>> {
  return firstOf(plan.gateways, async (gateway) => {
    const ca = await findCa(gateway, plan.pins);
    const link = new PinnedAgent({
      ca,
      checkServerIdentity: isGateway,
      minVersion: 'TLSv1.3',
      keepAlive: true,
      maxSockets: 1,
      maxCachedSessions: 0,
    });
    try {
      const place = { kind: 'tls', url: `https://${gateway}`, agent: link } as const;
      const { nonce } = (await callAuthority(place, { method: 'POST', target: '/v1/join/challenge', body: {} })) as { nonce: string };
      const body = signJoin(plan.token, keys, { nonce, channel: link.channel(), name: plan.name, labels: plan.labels, ssh: plan.ssh });
      const result = (await callAuthority(place, { method: 'POST', target: '/v1/join', body })) as Extract<JoinResult, { kind: 'joined' }>;
      // The gateway carries the answer: of the CAs in it those count that the pins name.
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

/** New certificates for a node whose old ones have expired while it was off: its key is what counts. */
export async function rejoin(
  gateways: readonly string[],
  serviceCa: string,
  name: string,
  keys: NodeKeys,
  now: number,
): Promise<Enrolment> {
  let tried = 0;
  return firstOf(gateways, async (gateway) => {
    // A renewal counts once, also one whose answer was lost: each gateway is asked with another.
    const agent = new Agent({ ca: serviceCa, checkServerIdentity: isGateway, minVersion: 'TLSv1.3', maxCachedSessions: 0 });
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

/** The certificate in PEM of the CA that has one of the pins. Throws GATEWAY_UNTRUSTED, NOT_RUNNING. */
async function findCa(gateway: string, pins: readonly string[]): Promise<string> {
  const { hostname, port } = new URL(`https://${gateway}`);
  const chain = await new Promise<readonly Buffer[]>((resolve, reject) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 443),
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    });
    const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), LOOK_LIMIT_MS);
    socket.on('error', (cause) => reject(new StenoError('NOT_RUNNING', `the gateway ${gateway} does not answer`, { cause })));
    socket.on('close', () => clearTimeout(timer));
    socket.on('secureConnect', () => {
      resolve(chainOf(socket.getPeerCertificate(true)));
      socket.destroy();
    });
  });
  for (const raw of chain) {
    const certificate = new X509Certificate(raw);
    if (certificate.ca && pins.includes(pinOf(certificate.publicKey.export({ type: 'spki', format: 'der' }))))
      return certificate.toString();
  }
  throw new StenoError('GATEWAY_UNTRUSTED', `no CA of ${gateway} has the pin`);
}

function chainOf(leaf: DetailedPeerCertificate): readonly Buffer[] {
  const chain: Buffer[] = [];
  for (
    let at: DetailedPeerCertificate | undefined = leaf;
    at?.raw !== undefined && chain.length < MAX_CHAIN;
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate
  )
    chain.push(at.raw);
  return chain;
}

function isGateway(_host: string, { subject }: PeerCertificate): Error | undefined {
  const kind = typeof subject?.CN === 'string' ? parseServiceName(subject.CN)?.kind : undefined;
  return kind === 'gateway' ? undefined : new NotAGateway();
}
class NotAGateway extends Error {
  readonly code = 'ERR_NOT_A_GATEWAY';
}

/** Failures of TLS verification, which are not failures to reach the gateway. */
function untrusted(error: unknown, gateway: string): StenoError | undefined {
  const { code } = ((error as { cause?: { code?: unknown } }).cause ?? {}) as { code?: unknown };
  const why = typeof code === 'string' && /CERT|SELF_SIGNED|VERIFY|ISSUER|ERR_TLS|ERR_NOT_A_GATEWAY|ERR_SSL/.test(code) ? code : undefined;
  return why === undefined ? undefined : new StenoError('GATEWAY_UNTRUSTED', `${gateway} (${why})`, { cause: error });
}

/** Those that cannot be reached are passed over; any other refusal is the answer. */
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

/** Knows its connection, to sign for it. */
class PinnedAgent extends Agent {
  #socket: TLSSocket | undefined;

  override createConnection(
    options: ConnectionOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const socket = super.createConnection(options, callback);
    this.#socket = socket as TLSSocket;
    return socket;
  }

  channel(): string {
    if (this.#socket === undefined) throw new StenoError('INTERNAL', 'no connection to sign for');
    return this.#socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)).toString('base64');
  }
}
