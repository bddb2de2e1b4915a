/**
 * The machine's side of joining (schemas/join.ts): signatures with the token, the service key and the host key.
 *
 * Tested in authority/inventory/nodes/nodes.test.ts, by an authority that accepts requests signed here.
 */
import { X509Certificate, createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { parseServiceName } from '#schemas/base/identity.js';
import { hostKeyText, joinText, nodeText, nodeTrust, parseJoinToken, trustText } from '#schemas/join.js';
import type { JoinRequest, NodeRequest, NodeTrust, SignedJoin, SignedNodeRequest, SignedTrust } from '#schemas/join.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { SshSigner } from '../ssh/keys.js';

/** RFC 8410: the bytes before the 32 bytes of an Ed25519 private key in PKCS#8. */
const ed25519Head = Buffer.from('302e020100300506032b657004220420', 'hex');

export interface ServiceSigner {
  /** SPKI. */
  readonly publicPem: string;
  /** DER. */
  sign(data: Uint8Array): Buffer;
}

export interface NodeKeys {
  /** ECDSA P-256. */
  readonly service: ServiceSigner;
  readonly host: SshSigner;
}

export function serviceSigner(privatePem: string): ServiceSigner {
  return {
    publicPem: createPublicKey(privatePem).export({ type: 'spki', format: 'pem' }).toString(),
    sign: (data) => sign('sha256', data, privatePem),
  };
}

/** Throws USAGE if the text is not a token. */
export function signJoin(
  token: string,
  keys: NodeKeys,
  request: Omit<JoinRequest, 'version' | 'token' | 'host_key' | 'service_key'>,
): SignedJoin {
  const parsed = parseJoinToken(token.trim());
  if (parsed === null) throw new StenoError('USAGE', 'the token was not issued by `steno tokens add`');
  const whole: JoinRequest = {
    version: 1,
    token: parsed.id,
    ...request,
    service_key: keys.service.publicPem,
    host_key: formatPublicLine(keys.host.publicBlob),
  };
  const text = JSON.stringify(whole);
  const signed = Buffer.from(joinText(text));
  return {
    request: text,
    token_signature: sign(null, signed, ed25519(parsed.seed)).toString('base64'),
    service_signature: keys.service.sign(signed).toString('base64'),
    host_signature: keys.host.sign(signed).toString('base64'),
  };
}

export function signNodeRequest(service: ServiceSigner, request: NodeRequest): SignedNodeRequest {
  const text = JSON.stringify(request);
  return { request: text, signature: service.sign(Buffer.from(nodeText(text))).toString('base64') };
}

export function signRenewal(keys: NodeKeys, node: string, time: number): SignedNodeRequest {
  return signNodeRequest(keys.service, {
    kind: 'renew',
    node,
    time,
    service_key: keys.service.publicPem,
    host_key: formatPublicLine(keys.host.publicBlob),
    host_signature: keys.host.sign(Buffer.from(hostKeyText(node, time))).toString('base64'),
  });
}

/** Signs a trust list as an authority. `certificate`: the authority's own, in PEM. */
export function signTrust(signer: ServiceSigner, certificate: string, trust: NodeTrust): SignedTrust {
  const document = JSON.stringify(trust);
  return { document, signature: signer.sign(Buffer.from(trustText(document))).toString('base64'), certificate };
}

/**
 * Throws GATEWAY_UNTRUSTED unless the list is signed by an authority certified by one of these CAs (concatenated PEM).
 * `now`: ms since 1970.
 */
export function verifyTrust({ document, signature, certificate }: SignedTrust, serviceCas: string, now: number): NodeTrust {
  const leaf = new X509Certificate(certificate);
  const named = parseServiceName(/^CN=(.*)$/.exec(leaf.subject)?.[1] ?? '');
  const current = Date.parse(leaf.validFrom) <= now && now < Date.parse(leaf.validTo);
  const certified = certificatesIn(serviceCas).some((pem) => leaf.verify(new X509Certificate(pem).publicKey));
  const good = verify('sha256', Buffer.from(trustText(document)), leaf.publicKey, Buffer.from(signature, 'base64'));
  if (named?.kind !== 'authority' || !current || !certified || !good)
    throw new StenoError('GATEWAY_UNTRUSTED', 'it presents CAs that no authority has signed');
  return nodeTrust.parse(JSON.parse(document));
}

export function certificatesIn(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/** The form of pins: SHA-256 of a CA's SPKI (DER). */
export function pinOf(spki: Uint8Array): string {
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}

function ed25519(seed: string): KeyObject {
  return createPrivateKey({ key: Buffer.concat([ed25519Head, Buffer.from(seed, 'base64url')]), format: 'der', type: 'pkcs8' });
}
