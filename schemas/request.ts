/**
 * Signed requests: how the `steno` command authenticates over HTTP, with the user's SSH certificate and without a session.
 *
 *     Authorization: Steno certificate=<base64 blob>,time=<ms since 1970>,nonce=<base64url, 16 bytes>,signature=<base64 SSH blob>
 *
 * The signature is SSHSIG-style (namespace `REQUEST_NAMESPACE`, sha512) over `requestText`. A server accepts a request
 * once (nonce remembered) and within `REQUEST_WINDOW_MS`. Tested in request.test.ts.
 */
export const REQUEST_NAMESPACE = 'steno-request';
export const REQUEST_WINDOW_MS = 60_000;
const MAX_HEADER_LENGTH = 16_384;

export interface SignedRequest {
  readonly certificate: string;
  readonly time: number;
  readonly nonce: string;
  readonly signature: string;
}

/** `target`: path with query as sent. `bodySha256`: hex; without a body, that of the empty string. */
export function requestText(method: string, target: string, bodySha256: string, time: number, nonce: string): string {
  return `steno-request/1\n${method.toUpperCase()}\n${target}\n${bodySha256}\n${time}\n${nonce}\n`;
}

export function formatAuthorization(r: SignedRequest): string {
  return `Steno certificate=${r.certificate},time=${r.time},nonce=${r.nonce},signature=${r.signature}`;
}

const pattern = /^Steno certificate=([A-Za-z0-9+/]+={0,2}),time=(\d{1,15}),nonce=([A-Za-z0-9_-]{22}),signature=([A-Za-z0-9+/]+={0,2})$/;

export function parseAuthorization(header: string): SignedRequest | null {
  if (header.length > MAX_HEADER_LENGTH) return null;
  const match = pattern.exec(header);
  if (match === null) return null;
  return { certificate: match[1]!, time: Number(match[2]), nonce: match[3]!, signature: match[4]! };
}
