/**
 * Gets a service's certificates: with a token the first time, with its key afterwards.
 *
 *     kept and in force ──────────────────────────────► use them; no call is made
 *     kept but expired, or for other host names ──────► renew with the key that joined
 *     nothing kept, or the key is no longer known ─► join with the token
 *     no token ───────────────────────────────────────► SERVICE_NOT_JOINED
 *
 * A used token may stay in the configuration: it is read only if nothing else works. Tested in
 * authority/services/services.test.ts.
 */
import { X509Certificate, createPrivateKey, sign } from 'node:crypto';
import { checkHealth, joinService, returnService } from '#schemas/api/services/services.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Enrolment } from '#schemas/api/services/certificates.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import { parseJoinToken } from '#schemas/join.js';
import { serviceJoinText, serviceReturnText } from '#schemas/service-join.js';
import type { TokenKind, ServiceReturn, SignedServiceReturn } from '#schemas/service-join.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { SshSigner } from '../ssh/keys.js';
import { sendTo } from './authority-http.js';
import { certificatesIn, pinOf } from './joining.js';
import type { ServiceSigner } from './joining.js';
import { PinnedAgent, pinnedCa, verificationFailure } from './pinned-tls.js';

export interface ServiceKeys {
  readonly service: ServiceSigner;
  readonly host: SshSigner | undefined;
  readonly recording: SshSigner | undefined;
  readonly moreHosts: readonly SshSigner[];
}

export interface EnrolPlan {
  readonly kind: TokenKind;
  readonly name: string;
  /** `https://host:port` of authorities that share one store; tried in turn until one answers. */
  readonly authorities: readonly string[];
  /** Called only if needed; undefined: there is no token. */
  readonly token: () => string | undefined;
  /** `sha256:HEX` of the service CA. */
  readonly pins: readonly string[];
  readonly hostNames: readonly string[];
}

/** RFC 8410: the bytes before the 32 bytes of an Ed25519 private key in PKCS#8. */
const ed25519Head = Buffer.from('302e020100300506032b657004220420', 'hex');

/** `kept`: the previous enrolment. `usable`: whether it is valid for these keys and host names. */
export async function enrolService(
  plan: EnrolPlan,
  keys: ServiceKeys,
  kept: Enrolment | undefined,
  usable: (enrolment: Enrolment) => boolean,
): Promise<Enrolment> {
  const pinned = kept === undefined ? [] : pinsIn(kept);
  // An authority that was set up anew has other CAs, where the old enrolment is worthless.
  const sameCa = plan.pins.length === 0 || plan.pins.some((pin) => pinned.includes(pin));
  if (kept !== undefined && sameCa && usable(kept)) return kept;
  let refusal: StenoError | undefined;
  if (kept !== undefined) {
    try {
      return await ask(plan, keys, pinned);
    } catch (error) {
      if (!(error instanceof StenoError) || !['SERVICE_JOIN_REFUSED', 'AUTHORITY_UNTRUSTED'].includes(error.code)) throw error;
      refusal = error;
    }
  }
  const token = plan.token();
  if (token !== undefined) return ask(plan, keys, plan.pins, token);
  throw refusal ?? new StenoError('SERVICE_NOT_JOINED', formatServiceName(plan));
}

async function ask(plan: EnrolPlan, keys: ServiceKeys, pins: readonly string[], token?: string): Promise<Enrolment> {
  let last: unknown = new StenoError('USAGE', 'no authority was given');
  for (const url of plan.authorities) {
    try {
      return await askOne(url, plan, keys, pins, token);
    } catch (error) {
      if (!(error instanceof StenoError && error.entry.retryable)) throw error;
      last = error;
    }
  }
  throw last;
}

async function askOne(
  url: string,
  plan: EnrolPlan,
  keys: ServiceKeys,
  pins: readonly string[],
  token: string | undefined,
): Promise<Enrolment> {
  const address = new URL(url).host;
  const ca = await pinnedCa(address, pins);
  if (ca === null) throw new StenoError('AUTHORITY_UNTRUSTED', `no CA of ${address} matches a pin`);
  const agent = new PinnedAgent(ca, 'authority');
  const place = { kind: 'tls', url, agent } as const;
  try {
    // Any call opens the connection for which the request is signed.
    const send = sendTo(place);
    await call(send, checkHealth, {});
    const request: ServiceReturn = {
      version: 1,
      channel: agent.channel(),
      kind: plan.kind,
      name: plan.name,
      service_key: keys.service.publicPem,
      ...(keys.host === undefined ? {} : { host_key: formatPublicLine(keys.host.publicBlob) }),
      ...(keys.recording === undefined ? {} : { recording_key: formatPublicLine(keys.recording.publicBlob) }),
      more_host_keys: keys.moreHosts.map(({ publicBlob }) => formatPublicLine(publicBlob)),
      host_names: [...plan.hostNames],
    };
    return await (token === undefined
      ? call(send, returnService, { body: signReturn(request, keys) })
      : call(send, joinService, { body: signJoin(request, keys, token) }));
  } catch (error) {
    const why = verificationFailure(error);
    throw why === undefined ? error : new StenoError('AUTHORITY_UNTRUSTED', `${address} (${why})`, { cause: error });
  } finally {
    agent.destroy();
  }
}

function signReturn(request: ServiceReturn, keys: ServiceKeys): SignedServiceReturn {
  const text = JSON.stringify(request);
  return { request: text, ...signatures(Buffer.from(serviceReturnText(text)), keys) };
}

function signJoin(request: ServiceReturn, keys: ServiceKeys, token: string): SignedServiceReturn & { readonly token_signature: string } {
  const parsed = parseJoinToken(token.trim());
  if (parsed === null) throw new StenoError('USAGE', 'the token was not issued by `steno tokens add`');
  const text = JSON.stringify({ token: parsed.id, ...request });
  const signed = Buffer.from(serviceJoinText(text));
  const key = createPrivateKey({ key: Buffer.concat([ed25519Head, Buffer.from(parsed.seed, 'base64url')]), format: 'der', type: 'pkcs8' });
  return { request: text, token_signature: sign(null, signed, key).toString('base64'), ...signatures(signed, keys) };
}

function signatures(signed: Buffer, { service, host, recording, moreHosts }: ServiceKeys): Omit<SignedServiceReturn, 'request'> {
  const further = [host, recording, ...moreHosts].filter((key) => key !== undefined);
  return {
    service_signature: service.sign(signed).toString('base64'),
    key_signatures: further.map((key) => Buffer.from(key.sign(signed)).toString('base64')),
  };
}

function pinsIn({ service_ca }: Enrolment): readonly string[] {
  return certificatesIn(service_ca).map((pem) => pinOf(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' })));
}
