/**
 * Data in x509 certificates of users besides the subject, as URIs of the subject alternative name:
 *
 *     steno://request/<id>          an approved access request whose grant the certificate carries; one each
 *     steno://user/1/<base64url>    JSON of `traits` and `mfa`; exactly one
 *
 * The subject is `CN=<user>` with an `O=<role>` for each role. Requests are not in `O=`, because anybody who reads groups would
 * trust those, while the value of a request must be checked at each use. Strict: a certificate without `steno://user/1/`, or with
 * any other name, is not accepted. Tested in user-certificate.test.ts.
 */
import { z } from 'zod';
import { isName, traitsSchema } from '../base/identity.js';
import type { UserIdentity } from '../base/identity.js';
import { decodeBase64, encodeBase64 } from '../ssh/base64.js';

const REQUEST = 'steno://request/';
const FACTS = 'steno://user/1/';
const facts = z.strictObject({ traits: traitsSchema, mfa: z.string().refine(isName).nullable() });

type Written = Pick<UserIdentity, 'traits' | 'mfa' | 'requests'>;

export function x509UserNames({ traits, mfa, requests }: Written): readonly string[] {
  return [`${FACTS}${toBase64Url(JSON.stringify({ traits, mfa }))}`, ...requests.map((id) => `${REQUEST}${id}`)];
}

/** Null unless the names are as `x509UserNames` writes them. */
export function parseX509UserNames(names: readonly string[]): Written | null {
  const requests: string[] = [];
  let found: z.output<typeof facts> | undefined;
  for (const name of names) {
    if (name.startsWith(REQUEST)) {
      requests.push(name.slice(REQUEST.length));
      continue;
    }
    const parsed = name.startsWith(FACTS) && found === undefined ? facts.safeParse(fromBase64Url(name.slice(FACTS.length))) : undefined;
    if (parsed?.success !== true) return null;
    found = parsed.data;
  }
  if (found === undefined || requests.length > 64 || !requests.every(isName)) return null;
  return { ...found, requests };
}

function toBase64Url(text: string): string {
  return encodeBase64(new TextEncoder().encode(text)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Undefined unless the text is base64url of JSON in UTF-8. */
function fromBase64Url(text: string): unknown {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const plain = text.replaceAll('-', '+').replaceAll('_', '/');
  const bytes = decodeBase64(plain.padEnd(Math.ceil(plain.length / 4) * 4, '='));
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}
