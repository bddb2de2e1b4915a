/**
 * Admission: the authentication protocol (RFC 4252) for OpenSSH user certificates and nothing else.
 *
 *     idle ──service ssh-userauth──► asking ──certificate and proof of possession──► admitted
 *                                      │    └──and a second factor, by policy──► waiting ──confirmed──► admitted
 *                                      └──six refusals, or nonsense──► disconnected
 *
 * A refusal is explained in a banner, which OpenSSH, PuTTY and Dropbear print, once per error code. A bare key may be the
 * first of two offers (an SSH agent that holds both key and certificate offers the key first): it is refused silently if its
 * certificate was admitted here before. Tested in admission.test.ts with stock clients.
 */
import { createHash } from 'node:crypto';
import type { UserProof } from '#schemas/api/services/certificates.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { namesLogin, parseTarget } from '#schemas/base/identity.js';
import type { Target, UserIdentity } from '#schemas/base/identity.js';
import { parseSessionJoin } from '#schemas/session-join.js';
import type { SessionJoin } from '#schemas/session-join.js';
import { isPermittedKey } from '#runtime/ssh/algorithms.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate, plainKeyType } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { METHOD_HOSTBOUND, METHOD_PUBLICKEY, userAuthData } from '#schemas/ssh/user-auth.js';
import { SshReader } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG } from '#schemas/ssh/numbers.js';
import { issuerOf } from '#runtime/http/request-auth.js';
import { verifyRepeated } from '#runtime/ssh/keys.js';
import { isAlgorithmOf, provesPossession } from '#runtime/ssh/possession.js';
import { unpooledCopy } from '../transport/unpooled-copy.js';
import { assertAdmitted } from '../../sessions/authorization.js';
import { message } from '../transport/messages.js';
import { asStenoError, explain } from '../../sessions/refusal.js';
import type { Transport } from '../transport/transport.js';

/** How a connection arrived: at the gateway itself, or through a channel of an admitted connection to a node. */
export type Entry = { readonly kind: 'gateway' } | { readonly kind: 'node'; readonly node: string };

/** The destination of an admitted connection. `jump`: only further connections through it. `join`: a live session. */
export type Destination = { readonly kind: 'jump' } | ({ readonly kind: 'join' } & SessionJoin) | ({ readonly kind: 'node' } & Target);

export interface Admitted {
  readonly identity: UserIdentity;
  readonly certificate: SshCertificate;
  /** The certificate as offered. */
  readonly blob: Buffer;
  readonly source: string;
  readonly destination: Destination;
  /** The signature the user made on this connection; the authority issues no node certificate without it. */
  readonly proof: UserProof;
  /** If policy requires a second factor for this session: the approval, for the session certificate. */
  readonly confirmation: string | null;
}

export interface AdmissionDeps {
  snapshot(): Snapshot | null;
  /** ms since 1970. */
  readonly now: () => number;
  readonly knownKeys: KnownKeys;
  /**
   * Null if certificate and key are enough; otherwise resolves to the approval that the session certificate needs, once the
   * user has confirmed. `tell` shows lines to the user meanwhile. Rejects with the refusal.
   */
  confirm(admitted: Admitted, tell: (lines: readonly string[]) => void, signal: AbortSignal): Promise<string> | null;
  refused(code: ErrorCode, detail: string, userName: string): void;
}

const maxRefusals = 6;
/** More service requests than a client that repeats them before each attempt can need. */
const maxServices = 16;
const maxBanners = 3;
const maxUserName = 256;

/** Bare keys whose certificates were admitted recently. */
export class KnownKeys {
  readonly #digests = new Set<string>();
  static readonly limit = 10_000;

  has(blob: Uint8Array): boolean {
    return this.#digests.has(digest(blob));
  }

  add(blob: Uint8Array): void {
    this.#digests.add(digest(blob));
    if (this.#digests.size > KnownKeys.limit) this.#digests.delete(this.#digests.values().next().value!);
  }
}

export class Admission {
  readonly #transport: Transport;
  readonly #entry: Entry;
  readonly #source: string;
  readonly #deps: AdmissionDeps;
  readonly #admitted: (admitted: Admitted) => void;
  readonly #told = new Set<ErrorCode>();
  readonly #left = new AbortController();
  #services = 0;
  #attempts = 0;
  #waiting = false;
  #refusals = 0;

  constructor(transport: Transport, entry: Entry, source: string, deps: AdmissionDeps, admitted: (admitted: Admitted) => void) {
    this.#transport = transport;
    this.#entry = entry;
    this.#source = source;
    this.#deps = deps;
    this.#admitted = admitted;
  }

  message(payload: Buffer): void {
    const reader = new SshReader(payload, 'BAD_REQUEST');
    const type = reader.byte('the type');
    if (this.#waiting) return this.#transport.disconnect(DISCONNECT.protocolError, 'steno: the second factor is still pending');
    if (type === MSG.serviceRequest && this.#services < maxServices) {
      if (reader.utf8('the service', 64) !== 'ssh-userauth')
        return this.#transport.disconnect(DISCONNECT.serviceUnavailable, 'no such service');
      // paramiko requests the service again before each key that it tries.
      this.#services++;
      return this.#transport.send(message.serviceAccept('ssh-userauth'));
    }
    if (type !== MSG.userauthRequest || this.#services === 0)
      return this.#transport.disconnect(DISCONNECT.protocolError, 'authentication comes first');
    const userName = Buffer.from(reader.string('the user name', maxUserName)).toString();
    if (reader.utf8('the service', 64) !== 'ssh-connection')
      return this.#transport.disconnect(DISCONNECT.serviceUnavailable, 'no such service');
    const method = reader.utf8('the method', 64);
    this.#attempts++;
    if (method === METHOD_PUBLICKEY || method === METHOD_HOSTBOUND)
      return this.#publicKey(payload, reader, userName, method === METHOD_HOSTBOUND);
    // Every client tries `none` first, to learn the methods; only clients that can never succeed are told immediately. As in
    // sshd, this attempt does not count against the limit, because an agent full of keys needs all attempts.
    if (method === 'none' && !/dropbear/i.test(this.#transport.software)) {
      if (this.#attempts > 1) this.#refusals++;
      return this.#afterRefusal();
    }
    const who = method === 'none' ? `${this.#transport.software} does not support certificates` : `${method} is not accepted`;
    this.#refuse('CERT_REQUIRED', who, userName);
  }

  #publicKey(payload: Buffer, reader: SshReader, userName: string, hostbound: boolean): void {
    const signed = reader.byte('the flag') !== 0;
    const algorithm = reader.utf8('the algorithm', 128);
    const blob = unpooledCopy(reader.string('the key', 65_536));
    const hostKey = hostbound ? unpooledCopy(reader.string('the host key', 65_536)) : null;
    const signedLength = reader.offset;
    const signature = signed ? unpooledCopy(reader.string('the signature', 8192)) : undefined;
    reader.end('the request');
    if (plainKeyType(keyTypeOf(blob)) === undefined) {
      // The client offers its bare key after its certificate: the reason was already given.
      return this.#refuse('CERT_REQUIRED', 'a bare key was offered', userName, this.#told.size > 0 || this.#deps.knownKeys.has(blob));
    }
    let admitted: Omit<Admitted, 'proof'>;
    try {
      admitted = this.#check(algorithm, blob, userName);
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
      return this.#refuse(error.code, error.detail ?? '', userName);
    }
    if (signature === undefined) return this.#transport.send(message.authKeyAccepted(algorithm, blob));
    const { sessionId } = this.#transport;
    const data = userAuthData(sessionId, payload.subarray(0, signedLength));
    // Signed for another server, which relayed the signature.
    const foreign = hostKey !== null && !this.#transport.hostKey?.equals(hostKey);
    if (foreign || !provesPossession(admitted.certificate, { key: { algo: algorithm }, signature, blob: data })) {
      return this.#refuse('CERT_BAD_SIGNATURE', '', userName);
    }
    const proven: Admitted = { ...admitted, proof: proofOf(sessionId, userName, algorithm, signature, hostKey) };
    this.#deps.knownKeys.add(admitted.certificate.publicKey);
    const confirmation = this.#deps.confirm(
      proven,
      (lines) => this.#transport.send(message.authBanner(`${lines.join('\r\n')}\r\n`)),
      this.#left.signal,
    );
    if (confirmation === null) this.#enter(proven);
    else void this.#wait(proven, confirmation, userName);
  }

  #enter(admitted: Admitted): void {
    this.#transport.send(message.authSuccess());
    this.#admitted(admitted);
  }

  /** Waits for the second factor before the client is told that it is admitted. */
  async #wait(admitted: Admitted, confirmation: Promise<string>, userName: string): Promise<void> {
    this.#waiting = true;
    let refusal: StenoError | undefined;
    const approval = await confirmation.catch((error: unknown) => {
      refusal = asStenoError(error);
      return null;
    });
    this.#waiting = false;
    if (this.#transport.closed) return;
    if (refusal === undefined) this.#enter({ ...admitted, confirmation: approval });
    else this.#refuse(refusal.code, refusal.detail ?? '', userName);
  }

  /** The client disconnected. */
  closed(): void {
    this.#left.abort();
  }

  /** Checks everything but the proof of possession, so that a client learns the reason before it signs. */
  #check(algorithm: string, blob: Buffer, userName: string): Omit<Admitted, 'proof'> {
    const snapshot = this.#deps.snapshot();
    if (snapshot === null) throw new StenoError('AUTHORITY_UNREACHABLE');
    const certificate = parseCertificate(blob);
    const destination = destinationOf(this.#entry, userName);
    const issuer = issuerOf(certificate, snapshot);
    const admission = checkCertificate(certificate, {
      kind: 'user',
      now: this.#deps.now() / 1000,
      // A host certificate always fails for its kind. If Steno's host CA issued it, trust that CA here so that the kind is
      // the reason given.
      trusted: certificate.kind === 'host' ? snapshot.ssh_host_ca.map((line) => parseAuthorizedLine(line).blob) : issuer.trusted,
      sourceAddress: this.#source,
      verify: verifyRepeated,
      // Besides Steno's own options, one that `provesPossession` enforces.
      knownCriticalOptions: new Set([...issuer.criticalOptions, 'verify-required']),
    });
    if (!admission.ok) throw new StenoError(admission.code, admission.detail);
    if (!isPermittedKey(algorithm)) throw new StenoError('KEY_GARBLED', 'in FIPS mode keys are ECDSA or RSA');
    if (!isAlgorithmOf(certificate, algorithm)) throw new StenoError('CERT_GARBLED', 'the certificate is offered under another algorithm');
    const identity = issuer.identify(certificate);
    const wanted = destination.kind === 'node' ? destination.login : userName;
    // A participant needs no login: roles decide (live/joining.ts).
    const isOwnName = destination.kind === 'join' || (destination.kind === 'jump' && userName === identity.user);
    const node = destination.kind === 'node' ? destination.node : undefined;
    if (!isOwnName && !namesLogin(certificate.principals, wanted, node))
      throw new StenoError('CERT_WRONG_PRINCIPAL', `the certificate does not name ${JSON.stringify(wanted.slice(0, 128))}`);
    assertAdmitted(snapshot, identity, undefined, this.#deps.now());
    return { identity, certificate, blob, source: this.#source, destination, confirmation: null };
  }

  #refuse(code: ErrorCode, detail: string, userName: string, silent = false): void {
    this.#refusals++;
    if (!this.#told.has(code) && !silent) {
      this.#told.add(code);
      this.#deps.refused(code, detail, userName);
      if (this.#told.size <= maxBanners) this.#transport.send(message.authBanner(`${explain(code, detail).join('\r\n')}\r\n`));
    }
    this.#afterRefusal();
  }

  #afterRefusal(): void {
    if (this.#refusals >= maxRefusals) return this.#transport.disconnect(DISCONNECT.noMoreAuth, 'steno: too many authentication attempts');
    this.#transport.send(message.authFailure());
  }
}

function proofOf(sessionId: Buffer, userName: string, algorithm: string, signature: Buffer, hostKey: Buffer | null): UserProof {
  return {
    session_id: sessionId.toString('base64'),
    user_name: userName,
    algorithm,
    signature: signature.toString('base64'),
    ...(hostKey === null ? {} : { host_key: hostKey.toString('base64') }),
  };
}

function destinationOf(entry: Entry, userName: string): Destination {
  if (entry.kind === 'node') return { kind: 'node', login: userName, node: entry.node };
  const join = parseSessionJoin(userName);
  if (join !== null) return { kind: 'join', ...join };
  const target = parseTarget(userName);
  return target === null ? { kind: 'jump' } : { kind: 'node', ...target };
}

function keyTypeOf(blob: Uint8Array): string {
  try {
    return new SshReader(blob, 'CERT_GARBLED').utf8('the key type', 64);
  } catch {
    return '';
  }
}

function digest(blob: Uint8Array): string {
  return createHash('sha256').update(blob).digest('base64');
}
