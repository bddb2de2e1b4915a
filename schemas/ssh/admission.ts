/**
 * Decides whether a certificate admits its holder: one pure function, written as the ordered table below.
 *
 * The first failing check determines the refusal. The CA's signature is checked before any other content, so that a caller
 * with a forged certificate learns nothing else. Possession of the certified key (`runtime/ssh/possession.ts`), roles and
 * locks are not decided here.
 *
 * Tested as a table in `admission.test.ts`.
 */
import type { ErrorCode } from '../base/errors.js';
import type { CertificateKind, SshCertificate } from './certificate.js';
import { matchesSourceAddress } from './source-address.js';
import { equalBytes } from './wire.js';

export interface AdmissionRequest {
  /** The kind of certificate that the caller needs. */
  readonly kind: CertificateKind;
  /** Unix seconds. */
  readonly now: number;
  /** Blobs of the trusted CA keys: the active one and those of a rotation. */
  readonly trusted: readonly Uint8Array[];
  /**
   * The required login, which must be among the certificate's principals. If omitted for a user, any certificate with
   * principals passes, and the caller decides about the login. For a host it is the dialled name, and mandatory.
   */
  readonly principal?: string;
  /** Source address of the connection; without it, a certificate bound to addresses is refused. */
  readonly sourceAddress?: string;
  /** Whether `signature` over `data` was made with the key of `blob`. Must not throw. */
  verify(blob: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean;
  /** Critical options the caller itself enforces, such as `force-command`. `source-address` is enforced here. */
  readonly knownCriticalOptions?: ReadonlySet<string>;
}

export type Admission = { readonly ok: true } | { readonly ok: false; readonly code: ErrorCode; readonly detail: string };

/** A CA's clock may be ahead of ours by this much; there is no such grace at the end. */
const clockSkewSeconds = 30;

interface Check {
  readonly code: ErrorCode;
  /** Why the check fails, or undefined if it passes. */
  readonly problem: (certificate: SshCertificate, request: AdmissionRequest) => string | undefined;
}

const unless = (passes: boolean, detail: string): string | undefined => (passes ? undefined : detail);

const checks: readonly Check[] = [
  {
    code: 'CERT_UNKNOWN_CA',
    problem: ({ signatureKey }, { trusted }) =>
      unless(
        trusted.some((ca) => equalBytes(ca, signatureKey)),
        'its CA key is not one of this Steno',
      ),
  },
  {
    code: 'CERT_UNKNOWN_CA',
    problem: ({ signatureKey, signature, signed }, { verify }) =>
      unless(verify(signatureKey, signature, signed), 'the signature of the CA does not match'),
  },
  {
    code: 'CERT_WRONG_KIND',
    problem: ({ kind }, request) =>
      unless(kind === request.kind, `it is a ${kind} certificate, but a ${request.kind} certificate is needed`),
  },
  {
    code: 'CERT_NOT_YET_VALID',
    problem: ({ validAfter }, { now }) =>
      unless(BigInt(Math.floor(now)) + BigInt(clockSkewSeconds) >= validAfter, `it begins at ${instant(validAfter)}`),
  },
  {
    code: 'CERT_EXPIRED',
    problem: ({ validBefore }, { now }) => unless(BigInt(Math.floor(now)) < validBefore, `it ended at ${instant(validBefore)}`),
  },
  {
    code: 'CERT_UNKNOWN_OPTION',
    problem: ({ kind, criticalOptions }, { knownCriticalOptions }) => {
      const understood = (name: string): boolean =>
        kind === 'user' && (name === 'source-address' || (knownCriticalOptions?.has(name) ?? false));
      const unknown = [...criticalOptions.keys()].find((name) => !understood(name));
      return unknown === undefined ? undefined : `the option ${unknown}`;
    },
  },
  {
    code: 'CERT_WRONG_SOURCE',
    problem: ({ criticalOptions }, { sourceAddress }) => {
      const list = criticalOptions.get('source-address');
      if (list === undefined) return undefined;
      return unless(
        sourceAddress !== undefined && matchesSourceAddress(list, sourceAddress),
        `from ${sourceAddress ?? 'an unknown address'}`,
      );
    },
  },
  {
    code: 'CERT_WRONG_PRINCIPAL',
    // OpenSSH interprets an empty list as "any login"; here it means nobody.
    problem: ({ principals }) => unless(principals.length > 0, 'it names no principal'),
  },
  {
    code: 'CERT_WRONG_PRINCIPAL',
    problem: ({ kind, principals }, { principal }) => {
      if (kind === 'host')
        return unless(
          principal !== undefined && principals.some((name) => sameHost(name, principal)),
          `it is not for the host ${shown(principal)}`,
        );
      return unless(principal === undefined || principals.includes(principal), `it does not name ${shown(principal)}`);
    },
  },
];

export function checkCertificate(certificate: SshCertificate, request: AdmissionRequest): Admission {
  for (const { code, problem } of checks) {
    const detail = problem(certificate, request);
    if (detail !== undefined) return { ok: false, code, detail };
  }
  return { ok: true };
}

/** Host names are case-insensitive; wildcards in host certificates are not supported. */
function sameHost(name: string, wanted: string): boolean {
  return name.toLowerCase() === wanted.toLowerCase();
}

function shown(principal: string | undefined): string {
  return JSON.stringify((principal ?? '').slice(0, 128));
}

/** ISO time if a Date can hold it; OpenSSH writes "forever" as 2^64-1. */
function instant(seconds: bigint): string {
  return seconds <= 8_640_000_000_000n ? new Date(Number(seconds) * 1000).toISOString() : 'the end of time';
}
