/**
 * How a service (gateway, ingest, viewer, analyzer) joins an authority, and how it returns after its certificates have expired.
 *
 *     token    steno-join-<id>-<seed>     the form of `schemas/join.ts`, but for one kind of service and in a separate table
 *     join     {request, token_signature, service_signature, key_signatures}
 *     renew    the same without token; the service key that joined authenticates it
 *
 * The service connects by TLS to the authority itself, whose CA it knows by a pin. `channel` is the exporter value (RFC 9266) of
 * that connection: the authority compares it with its own, so an overheard request is useless on another connection, and no
 * nonce is needed. `key_signatures` are by the further keys, in the order host, recording, further host keys, so nobody gets a
 * certificate for a key that they do not hold. Tested in authority/services/services.test.ts.
 */
import { z } from 'zod';
import { isName } from './base/identity.js';
import { tokenId } from './join.js';

/** Services with their own configuration, for which people create tokens. An authority certifies itself, and nodes join through gateways. */
export const joiningKinds = ['gateway', 'ingest', 'viewer', 'analyzer'] as const;
export type JoiningKind = (typeof joiningKinds)[number];
/** The node service of the authority's own machine joins in the same way; only the owner of that machine can create its token. */
export const tokenKinds = [...joiningKinds, 'agent'] as const;
export type TokenKind = (typeof tokenKinds)[number];

const base64 = z
  .string()
  .regex(/^[A-Za-z0-9+/]+={0,2}$/)
  .max(4096);
const name = z.string().max(63).refine(isName, 'is not a valid name');
const keyLine = z.string().min(1).max(16_384);

const shown = {
  version: z.literal(1),
  channel: base64.max(64),
  kind: z.enum(tokenKinds),
  name,
  /** SPKI in PEM, ECDSA P-256. */
  service_key: z.string().min(1).max(4096),
  host_key: keyLine.optional(),
  recording_key: keyLine.optional(),
  more_host_keys: z.array(keyLine).max(8).default([]),
  host_names: z.array(z.string().max(255)).max(32).default([]),
};
export const serviceJoin = z.strictObject({ token: tokenId, ...shown });
export const serviceReturn = z.strictObject(shown);
export type ServiceReturn = z.infer<typeof serviceReturn>;

const MAX_SERVICE_REQUEST = 64 << 10;
const signedRequest = {
  /** The text of the request, which is signed literally. */
  request: z.string().max(MAX_SERVICE_REQUEST),
  service_signature: base64,
  key_signatures: z.array(base64).max(10),
};
export const signedServiceJoin = z.strictObject({ ...signedRequest, token_signature: base64 });
export type SignedServiceJoin = z.infer<typeof signedServiceJoin>;
export const signedServiceReturn = z.strictObject(signedRequest);
export type SignedServiceReturn = z.infer<typeof signedServiceReturn>;

export function serviceJoinText(request: string): string {
  return `steno-service-join/1\n${request}`;
}

export function serviceReturnText(request: string): string {
  return `steno-service-return/1\n${request}`;
}

/** The keys beside the service key, in the order of their signatures. */
export function furtherKeys(request: Pick<ServiceReturn, 'host_key' | 'recording_key' | 'more_host_keys'>): readonly string[] {
  return [request.host_key, request.recording_key, ...request.more_host_keys].filter((key) => key !== undefined);
}
