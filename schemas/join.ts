/**
 * Joining: how a machine becomes a node, and how the node then talks to the authority through a gateway.
 *
 *     token     steno-join-<id>-<seed>          `seed`: 32 random bytes, base64url. They are an Ed25519 private key.
 *     join      {request, signatures}           `request` is the text of a `JoinRequest`, with three signatures over that text
 *     after     {request, signature}            the text of a `NodeRequest`, signed by the node's service key
 *
 * The token is never sent: the machine signs with it, and the authority stores the public half. So a rogue gateway learns
 * nothing, a genuine gateway cannot use the token itself, and a reader of the state store cannot join. `nonce` is issued by
 * the authority and valid once; `channel` is the exporter value (RFC 9266) of the TLS connection, which the gateway compares
 * with its own, so an overheard join is useless on another connection. Tested in authority/inventory/nodes/nodes.test.ts.
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
/** Prefix of keys that nodes may always set themselves: it marks a label as the node's own claim. */
export const OWN_LABEL_PREFIX = 'node/';
/** A key, or a prefix of keys followed by `*`. */
export const labelPattern = z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,62}\*?$/, 'is not KEY or PREFIX*');

/**
 * How the node accepts sessions: by Steno's SSH service, or by its own OpenSSH server. Two modes accept none: `kubernetes` leads to the
 * API server of the cluster in which it runs, and `pods` records the kernel events of commands in the pods of its machine.
 */
export const sshModes = ['service', 'openssh', 'kubernetes', 'pods'] as const;
export type SshMode = (typeof sshModes)[number];

/** How gateways reach a node: they dial its address, or go through the tunnel that its agent holds. */
export type Route = 'direct' | 'tunnel';

/** Whether the node accepts session certificates for `LOGIN@NODE` and needs none for the bare login; older agents omit it. */
const takesNodePrincipals = z.boolean().optional();

export const MAX_REQUEST = 32 << 10;
/** Lifetime of the authority's nonces, in ms. */
export const NONCE_LIFE_MS = 60_000;
/** Largest difference between the clocks of node and authority, in ms. */
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
  /** Public key line of the node's SSH host key. */
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
  /** Requests new certificates for the keys with which the node joined, or for another host key that it holds. */
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
 * The CAs that a node trusts, signed by an authority with its service key: gateways relay it, and cannot make a node trust
 * a CA of their own. Fields that a later version adds are ignored.
 */
export const nodeTrust = z.object({
  /** ms since 1970; a document older than the known one is ignored. */
  time: z.number().int().positive(),
  /** Public key lines. */
  ssh_user_ca: z.array(z.string().max(16_384)).max(16),
  /** Certificates in PEM. */
  service_ca: z.array(z.string().max(16_384)).max(16),
  /** The current signing keys; certificates signed by others must be renewed. */
  signing: z.object({ ssh_host: z.string().max(16_384), service: z.string().max(16_384) }),
  /** Addresses of the gateways connected at that time; the node holds a tunnel to each. */
  gateways: z.array(gatewayAddress).max(MAX_GATEWAYS).default([]),
});
export type NodeTrust = z.infer<typeof nodeTrust>;

export const signedTrust = z.strictObject({
  /** The text of a `NodeTrust`. */
  document: z.string().max(65_536),
  signature: base64,
  /** PEM: certificate of the authority that signed, issued by the service CA. */
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

/** The labels that a node may set itself. `decided`: labels of its token, which the node cannot change. */
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

/** Form of a CA's pin: SHA-256 over its SPKI, lower-case hex. */
export const caPin = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'is not sha256:HEX of a CA');
