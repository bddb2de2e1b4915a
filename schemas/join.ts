/**
 * Joining: how a machine becomes a node, and how a node speaks to the authority afterwards, through a gateway.
 *
 *     token     steno-join-<id>-<seed>          `seed`: 32 random bytes, base64url. They are an Ed25519 private key.
 *     join      {request, signatures}           `request` is the text of a `JoinRequest`, signed three times as it is
 *     after     {request, signature}            the text of a `NodeRequest`, signed by the node's service key
 *
 * The token never travels: the machine signs with it, and the authority keeps the public half. So a gateway that is not
 * ours learns nothing, one of ours cannot use the token itself, and who reads the state store cannot join. `nonce` is
 * the authority's and counts once; `channel` is the exporter value (RFC 9266) of the TLS connection, which the gateway
 * compares with its own: a join that was overheard fits no other connection. Tested in authority/inventory/nodes/nodes.test.ts.
 */
import { z } from 'zod';
import { isName } from './base/identity.js';

const tokenForm = /^steno-join-([a-z0-9]{12})-([A-Za-z0-9_-]{43})$/;
const base64 = z
  .string()
  .regex(/^[A-Za-z0-9+/]+={0,2}$/)
  .max(2048);
const name = z.string().max(63).refine(isName, 'is not a valid name');

export const tokenId = z.string().regex(/^[a-z0-9]{12}$/, 'is not the id of a token');
/** Labels in the form that roles use. */
export const labelKey = z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,62}$/, 'is not a label');
export const nodeLabels = z.record(labelKey, z.string().max(255)).refine((map) => Object.keys(map).length <= 64, 'are too many');
/** Keys that nodes may give themselves always: everyone knows that such a label is only the node's word. */
export const OWN_LABEL_PREFIX = 'node/';
/** A key, or the beginning of keys and `*`. */
export const labelPattern = z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,62}\*?$/, 'is not KEY or PREFIX*');

/**
 * How the node takes sessions: by Steno's SSH service, or by the OpenSSH server it has. Two take none: `kubernetes` is a way to the API
 * server of the cluster that it runs in, and `pods` records what commands in the pods of its machine do in the kernel.
 */
export const sshModes = ['service', 'openssh', 'kubernetes', 'pods'] as const;
export type SshMode = (typeof sshModes)[number];

/** How gateways reach a node: they dial its address, or go through the tunnel that its agent holds. */
export type Route = 'direct' | 'tunnel';

/** Whether the node takes session certificates for `LOGIN@NODE` and needs none for the bare login; agents of before do not say. */
const takesNodePrincipals = z.boolean().optional();

export const MAX_REQUEST = 32 << 10;
/** How long a nonce of the authority counts, ms. */
export const NONCE_LIFE_MS = 60_000;
/** How far the clocks of node and authority may be apart, ms. */
export const NODE_REQUEST_WINDOW_MS = 300_000;

export const joinRequest = z.strictObject({
  version: z.literal(1),
  /** The token's id. */
  token: tokenId,
  nonce: base64.max(64),
  channel: base64.max(64),
  name,
  /** SPKI in PEM, ECDSA P-256. */
  service_key: z.string().max(4096),
  /** Public key line of what the node's SSH shows. */
  host_key: z.string().max(16_384),
  labels: nodeLabels,
  ssh: z.enum(sshModes),
  node_principals: takesNodePrincipals,
});
export type JoinRequest = z.infer<typeof joinRequest>;

export const signedJoin = z.strictObject({
  request: z.string().max(MAX_REQUEST),
  /** base64: raw Ed25519, ECDSA in DER, and an SSH signature blob; all over `joinText(request)`. */
  token_signature: base64,
  service_signature: base64,
  host_signature: base64,
});
export type SignedJoin = z.infer<typeof signedJoin>;

const said = { node: name, time: z.number().int().positive() };
export const nodeRequest = z.discriminatedUnion('kind', [
  /** New certificates for the keys that the node has had since it joined, or for another host key it holds. */
  z.strictObject({
    kind: z.literal('renew'),
    ...said,
    service_key: z.string().max(4096),
    host_key: z.string().max(16_384),
    host_signature: base64,
  }),
  /** All labels that the node reports about itself. */
  z.strictObject({ kind: z.literal('report'), ...said, labels: nodeLabels, ssh: z.enum(sshModes), node_principals: takesNodePrincipals }),
]);
export type NodeRequest = z.infer<typeof nodeRequest>;

export const signedNodeRequest = z.strictObject({ request: z.string().max(MAX_REQUEST), signature: base64 });
export type SignedNodeRequest = z.infer<typeof signedNodeRequest>;

/** `host:port` where agents reach a gateway. */
export const gatewayAddress = z
  .string()
  .max(300)
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/, 'is not host:port');
export const MAX_GATEWAYS = 128;

/**
 * Whom a node may believe, signed by an authority with its service key: gateways carry it, and cannot make a node trust
 * a CA of their own. Fields that an authority of a later version adds are ignored.
 */
export const nodeTrust = z.object({
  /** ms since 1970; an older one than is known does not count. */
  time: z.number().int().positive(),
  /** Public key lines. */
  ssh_user_ca: z.array(z.string().max(16_384)).max(16),
  /** Certificates in PEM. */
  service_ca: z.array(z.string().max(16_384)).max(16),
  /** Which keys sign now: what another has signed is to be renewed. */
  signing: z.object({ ssh_host: z.string().max(16_384), service: z.string().max(16_384) }),
  /** Where the gateways are that were there at that time: the node holds a tunnel to each. */
  gateways: z.array(gatewayAddress).max(MAX_GATEWAYS).default([]),
});
export type NodeTrust = z.infer<typeof nodeTrust>;

export const signedTrust = z.strictObject({
  /** The text of a `NodeTrust`. */
  document: z.string().max(65_536),
  signature: base64,
  /** PEM: of the authority that signed, by the service CA. */
  certificate: z.string().max(8_192),
});
export type SignedTrust = z.infer<typeof signedTrust>;

export function trustText(document: string): string {
  return `steno-trust/1\n${document}`;
}

export function joinText(request: string): string {
  return `steno-join/1\n${request}`;
}

export function nodeText(request: string): string {
  return `steno-node/1\n${request}`;
}

/** The text that a renewal's host key signs. It names the node and the time, and so proves possession at that time. */
export function hostKeyText(node: string, time: number): string {
  return `steno-host-key/1\n${node}\n${time}\n`;
}

export interface JoinToken {
  readonly id: string;
  /** base64url of 32 bytes. */
  readonly seed: string;
}

export function parseJoinToken(text: string): JoinToken | null {
  const match = tokenForm.exec(text);
  return match === null ? null : { id: match[1]!, seed: match[2]! };
}

export function formatJoinToken({ id, seed }: JoinToken): string {
  return `steno-join-${id}-${seed}`;
}

export function matchesPattern(patterns: readonly string[], key: string): boolean {
  return patterns.some((pattern) => (pattern.endsWith('*') ? key.startsWith(pattern.slice(0, -1)) : key === pattern));
}

/** Which of the labels a node may say of itself. `decided`: those of its token, which the node cannot change. */
export function ownLabels(
  wanted: Readonly<Record<string, string>>,
  token: { readonly labels: Readonly<Record<string, string>>; readonly node_labels: readonly string[] },
): { readonly accepted: Readonly<Record<string, string>>; readonly refused: readonly string[] } {
  const accepted: Record<string, string> = {};
  const refused: string[] = [];
  for (const [key, value] of Object.entries(wanted)) {
    if (Object.hasOwn(token.labels, key)) {
      if (token.labels[key] !== value) refused.push(key);
    } else if (key.startsWith(OWN_LABEL_PREFIX) || matchesPattern(token.node_labels, key)) accepted[key] = value;
    else refused.push(key);
  }
  return { accepted, refused: refused.sort() };
}

/** How a pin of a CA is written: SHA-256 over its SPKI, lower-case hex. */
export const caPin = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'is not sha256:HEX of a CA');
