/**
 * Requests signed as a text, by a token and by the keys to be certified: common checks for joining nodes and joining
 * services. Tested in ../inventory/nodes/nodes.test.ts and ../services/services.test.ts.
 */
import { createHash, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';

/** Throws BAD_REQUEST. */
export function parseSigned<T extends z.ZodType>(schema: T, text: string): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new StenoError('BAD_REQUEST', 'request: is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new StenoError('BAD_REQUEST', `request.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`.slice(0, 512));
}

/** The public half of a token: 32 bytes of Ed25519, base64. */
export function tokenKey(raw: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(raw, 'base64').toString('base64url') }, format: 'jwk' });
}

/** Accepts only ECDSA P-256; anything else would be refused when it is certified. `der`: base64. Throws KEY_GARBLED. */
export function serviceKey(pem: string): { readonly key: KeyObject; readonly der: string; readonly hash: string } {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: pem, format: 'pem', type: 'spki' });
  } catch {
    throw new StenoError('KEY_GARBLED', 'service_key is not SPKI in PEM');
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new StenoError('KEY_GARBLED', 'service_key is not ECDSA P-256');
  const der = key.export({ type: 'spki', format: 'der' });
  return { key, der: der.toString('base64'), hash: createHash('sha256').update(der).digest('hex') };
}
