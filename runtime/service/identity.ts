/**
 * The identity of a stage towards the others: its keys, the certificates that the authority issued, and the TLS options made
 * from them.
 *
 *     (no certificate) ──enrol over the socket──► fresh ──half to two thirds of the life gone, or another key signs──► renewing ──► fresh
 *                                                                                              └── failed: again after a minute ──┘
 *
 * Keys are generated here and never leave; they are kept in memory, or in a folder of mode 0700 so that host and recording
 * keys survive a restart. Renewal uses mutual TLS once `renewWith` is set (the authority client sets it), and the socket
 * before that. Peers are identified by the kind in their certificate's subject, never by host name or address: every stage
 * may listen anywhere. Tested in `authority/certificates/service-identity.test.ts`, against a real authority.
 */
import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConnectionOptions, SecureContextOptions, Server, TLSSocket, TlsOptions } from 'node:tls';
import { enrolOwnService } from '#schemas/api/services/certificates.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { EnrolRequest, Enrolment, RenewalRequest } from '#schemas/api/services/certificates.js';
import type { CaTrust, Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import { canonicalHost } from '#schemas/base/host-name.js';
import { formatServiceName, isName, parseServiceName } from '#schemas/base/identity.js';
import type { ServiceKind, ServiceName } from '#schemas/base/identity.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { equalBytes } from '#schemas/ssh/wire.js';
import { sendTo } from './authority-http.js';
import { fipsMode } from '../fips.js';
import { serviceSigner } from './joining.js';
import type { NodeKeys, ServiceSigner } from './joining.js';
import type { Log } from '../log.js';
import { enrolService } from './enrol.js';
import { RemovedServices } from './removed-services.js';
import type { EnrolPlan } from './enrol.js';
import { generateKey, generateKeyPem, loadPrivateKey } from '../ssh/keys.js';
import type { KeyKind, SshPrivateKey } from '../ssh/keys.js';

export interface IdentityConfig extends ServiceName {
  /** The authority's Unix socket; omitted if `enrol` or `join` is given. */
  readonly socket?: string;
  /** Folder for keys and certificates; without it they are kept in memory. */
  readonly dir?: string;
  /** Names for the host certificate in addition to the service's own. If given, even as `[]`, a host key is made. */
  readonly hostNames?: readonly string[];
  /**
   * Also keeps host keys of the other kinds, for clients that do not support the first; the caller obtains their
   * certificates.
   */
  readonly everyHostKey?: boolean;
  /** Whether the service signs recordings. */
  readonly records?: boolean;
  /** An existing host key to use in place of a generated one. */
  readonly hostKey?: SshPrivateKey;
  /**
   * Obtains certificates if the folder holds none that are valid, or only expired ones (`expired`). If omitted: over the
   * socket, at each start.
   */
  readonly enrol?: (keys: NodeKeys, expired: Enrolment | undefined) => Promise<Enrolment>;
  /** Joins with a token instead, and renews with its key. */
  readonly join?: Pick<EnrolPlan, 'authorities' | 'token' | 'pins'> & {
    /** Ignores any previous enrolment: only the token is used. */
    readonly anew?: boolean;
  };
}

/** `fleet`: number of services that may renew at the same time; they spread out accordingly. */
export type Followed = Pick<CaTrust, 'service_ca'> & {
  readonly signing: Pick<CaTrust['signing'], 'ssh_host' | 'recording' | 'service'>;
  readonly fleet?: number;
  /** Missing from older authorities. */
  readonly removed_services?: Snapshot['removed_services'];
};

export type Renewal = (request: RenewalRequest) => Promise<Enrolment>;

export interface ServiceIdentity extends ServiceName {
  /** Present when asked for. */
  readonly hostKey: SshPrivateKey | undefined;
  /** The keys of `everyHostKey`. */
  readonly moreHostKeys: readonly SshPrivateKey[];
  readonly recordingKey: SshPrivateKey | undefined;
  /** Removed services: their connections to servers under `guard` are closed, and `tlsClientOptions` refuses them. */
  readonly removed: RemovedServices;
  /** Signs data outside TLS with the service key. */
  readonly signer: ServiceSigner;
  /** The certificate's blob; throws INTERNAL if no such key was requested. */
  hostCertificate(): Buffer;
  recordingCertificate(): Buffer;
  /** For a TLS or HTTPS server: requires a client certificate of the service CA. Call `guard` on the server as well. */
  tlsServerOptions(): TlsOptions;
  /** Closes connections of other kinds before they send anything, and keeps the server's certificate fresh. */
  guard(server: Server, kinds: readonly ServiceKind[]): void;
  /** For a client of a service of one of these kinds. Call it for each connection, since certificates are renewed. */
  tlsClientOptions(kinds: readonly ServiceKind[]): ConnectionOptions;
  /** Applies the CAs of a snapshot: new roots at once, and new certificates if another key signs now. */
  follow(trust: Followed): void;
  onRenewed(callback: () => void): () => void;
  renewWith(renewal: Renewal | undefined): void;
  /** Renews now, whatever the remaining lifetime. */
  renew(): Promise<void>;
  /** Retries a failed renewal now, because the authority is reachable again. */
  retry(): void;
  close(): void;
}

export interface IdentityContext {
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

interface Held {
  /** As issued by the authority. */
  readonly enrolment: Enrolment;
  readonly certificate: string;
  readonly ca: string;
  readonly host: Buffer | undefined;
  readonly recording: Buffer | undefined;
  /** Milliseconds since 1970: a random point at half to two thirds of the shortest lifetime. */
  readonly renewAt: number;
}

/** TLS settings of FIPS mode: AES-GCM with ECDHE on NIST curves (SP 800-52r2). */
const approvedTls = {
  ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256',
  ecdhCurve: 'P-256:P-384',
} as const;
const RETRY_MS = 60_000;
/** Each service of a fleet adds this much to the time over which renewals spread. */
const SPREAD_MS = 2;
/** Longer timers would overflow; checking early costs nothing. */
const LONGEST_TIMER_MS = 3_600_000;

/** Parsing a certificate costs more than the rest of a small call, and a connection keeps its certificate. */
const peers = new WeakMap<TLSSocket, { readonly service: ServiceName | null; readonly until: number }>();

/**
 * The service at the other end of a TLS connection; null if its certificate is missing, foreign or malformed, or has expired
 * since the connection began. Call it for each request, not once.
 */
export function peerService(socket: TLSSocket): ServiceName | null {
  if (!socket.authorized) return null;
  let peer = peers.get(socket);
  if (peer === undefined) {
    // Empty if there is no certificate, or the connection is closed.
    const certificate = socket.getPeerCertificate() as { readonly subject?: { readonly CN?: unknown }; readonly valid_to?: string };
    peer = { service: serviceOf(certificate), until: Date.parse(certificate.valid_to ?? '') };
    peers.set(socket, peer);
  }
  return peer.until > Date.now() ? peer.service : null;
}

/**
 * Takes keys from `dir` or generates them, and gets certificates from the authority, which must be reachable unless those in
 * `dir` are still valid.
 */
export async function openServiceIdentity(config: IdentityConfig, { log, clock }: IdentityContext): Promise<ServiceIdentity> {
  if (!isName(config.name)) throw new StenoError('BAD_REQUEST', `${JSON.stringify(config.name)} is not a valid service name`);
  const files = new KeyFolder(config.dir);
  const serviceKey = files.keep('service.key', () => generateKeyPem('p256'));
  const sshKey = (name: string, type: KeyKind): SshPrivateKey => loadPrivateKey(files.keep(name, () => generateKey(type).toOpenSsh()));
  const hostKey =
    config.hostKey ??
    (config.hostNames === undefined ? undefined : fipsMode() ? sshKey('host-p256.key', 'p256') : sshKey('host.key', 'ed25519'));
  const p256 = config.everyHostKey === true && !fipsMode() ? [sshKey('host-p256.key', 'p256')] : [];
  const moreHostKeys = config.everyHostKey === true ? [...p256, sshKey('host-rsa.key', 'rsa')] : [];
  // The recording format allows only Ed25519 for this key, which FIPS 186-5 approves.
  const recordingKey = config.records === true ? sshKey('recording.key', 'ed25519') : undefined;

  const keys = {
    service_key: createPublicKey(privateKey(serviceKey)).export({ type: 'spki', format: 'pem' }).toString(),
    ...(hostKey === undefined ? {} : { host_key: formatPublicLine(hostKey.publicBlob) }),
    ...(recordingKey === undefined ? {} : { recording_key: formatPublicLine(recordingKey.publicBlob) }),
  };
  const signer = serviceSigner(serviceKey);
  const take = (enrolment: Enrolment): Held => {
    const taken = holdingOf(enrolment, config, keys.service_key, clock());
    files.write('enrolment.json', JSON.stringify(enrolment));
    return taken;
  };
  const enrol = async (): Promise<Enrolment> => {
    if (config.join !== undefined && config.kind !== 'authority') {
      const plan = { ...config.join, kind: config.kind, name: config.name, hostNames: config.hostNames ?? [] };
      const before = config.join.anew === true ? undefined : files.read('enrolment.json');
      return enrolService(
        plan,
        { service: signer, host: hostKey, recording: recordingKey, moreHosts: moreHostKeys },
        before === undefined ? undefined : (JSON.parse(before) as Enrolment),
        (enrolment) =>
          isUsable(enrolment, keys.service_key, { host: hostKey, names: plan.hostNames, recording: recordingKey, now: clock() }),
      );
    }
    if (config.socket === undefined) throw new StenoError('INTERNAL', 'this service has no way to enrol');
    const body: EnrolRequest = {
      kind: config.kind,
      name: config.name,
      ...keys,
      ...(config.hostNames === undefined ? {} : { host_names: config.hostNames }),
      ...(moreHostKeys.length === 0 ? {} : { more_host_keys: moreHostKeys.map(({ publicBlob }) => formatPublicLine(publicBlob)) }),
    };
    return call(sendTo({ kind: 'socket', path: config.socket }), enrolOwnService, { body });
  };

  const kept = files.read('enrolment.json');
  const joined = async (how: NonNullable<IdentityConfig['enrol']>, host: SshPrivateKey): Promise<Held> => {
    const before = kept === undefined ? undefined : (JSON.parse(kept) as Enrolment);
    const good =
      before !== undefined && Date.parse(new X509Certificate(before.service_certificate).validTo) > clock() && isFor(before, host);
    return good ? holdingOf(before, config, keys.service_key, clock()) : take(await how({ service: signer, host }, before));
  };
  let held: Held;
  try {
    held = config.enrol !== undefined && hostKey !== undefined ? await joined(config.enrol, hostKey) : take(await enrol());
  } catch (error) {
    // A stage that restarts while the authority is away continues with its certificates while they are valid.
    if (
      config.enrol !== undefined ||
      config.join?.anew === true ||
      kept === undefined ||
      !(error instanceof StenoError && error.code === 'NOT_RUNNING')
    )
      throw error;
    held = holdingOf(JSON.parse(kept) as Enrolment, config, keys.service_key, clock());
    log.warn({ renew_at: held.renewAt }, 'authority unreachable; continuing with the existing certificates');
  }

  const listeners = new Set<() => void>();
  let renewal: Renewal | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let busy = false;
  let retryAt = 0;
  /** The signing keys under which the held certificates are current. */
  let signedFor = '';

  const renew = async (): Promise<void> => {
    const request: RenewalRequest = { ...keys, ...(held.host === undefined ? {} : { host_certificate: formatPublicLine(held.host) }) };
    const expired = Date.parse(new X509Certificate(held.certificate).validTo) <= clock();
    // Mutual TLS refuses an expired certificate, so a service that joined renews with its key.
    const fresh = take(renewal === undefined || (expired && config.join !== undefined) ? await enrol() : await renewal(request));
    if (closed) return;
    held = fresh;
    for (const listener of listeners) listener();
  };
  const schedule = (): void => {
    const wait = Math.min(Math.max(held.renewAt - clock(), retryAt - clock(), 0), LONGEST_TIMER_MS);
    timer = setTimeout(() => void tick(), wait);
    timer.unref();
  };
  const tick = async (): Promise<void> => {
    if (clock() >= held.renewAt) {
      busy = true;
      try {
        await renew();
        retryAt = 0;
        log.info({ renew_at: held.renewAt }, 'certificates renewed');
      } catch (error) {
        retryAt = clock() + RETRY_MS;
        log.warn({ err: error }, 'failed to renew certificates; retrying');
      }
      busy = false;
    }
    if (!closed) schedule();
  };
  schedule();
  const removed = new RemovedServices();
  const follow = ({ service_ca, signing, fleet = 0, removed_services = [] }: Followed): void => {
    if (closed) return;
    removed.follow(removed_services);
    const roots = service_ca.join('');
    if (roots !== held.ca) {
      held = { ...held, ca: roots, enrolment: { ...held.enrolment, service_ca: roots } };
      files.write('enrolment.json', JSON.stringify(held.enrolment));
      for (const listener of listeners) listener();
    }
    const wanted = JSON.stringify(signing);
    if (wanted === signedFor) return;
    signedFor = wanted;
    if (isSignedBy(held, signing)) return;
    held = { ...held, renewAt: Math.min(held.renewAt, clock() + Math.random() * fleet * SPREAD_MS) };
    clearTimeout(timer);
    schedule();
  };

  const pair = (): SecureContextOptions & { readonly ca: string } => ({
    key: serviceKey,
    cert: held.certificate,
    ca: held.ca,
    minVersion: 'TLSv1.2',
    ...(fipsMode() ? approvedTls : {}),
  });
  return {
    kind: config.kind,
    name: config.name,
    hostKey,
    moreHostKeys,
    recordingKey,
    removed,
    signer,
    hostCertificate: () => held.host ?? missing('host'),
    recordingCertificate: () => held.recording ?? missing('recording'),
    tlsServerOptions: () => ({ ...pair(), requestCert: true, rejectUnauthorized: true }),
    guard(server, kinds) {
      server.on('secureConnection', (socket) => {
        const peer = peerService(socket);
        if (peer === null || !kinds.includes(peer.kind) || removed.refuses(socket)) socket.destroy();
      });
      removed.guard(server);
      const fresh = (): void => server.setSecureContext(pair());
      listeners.add(fresh);
      server.on('close', () => listeners.delete(fresh));
    },
    tlsClientOptions: (kinds) => ({
      ...pair(),
      rejectUnauthorized: true,
      checkServerIdentity: (_host, certificate) => {
        const peer = serviceOf(certificate);
        if (peer === null || !kinds.includes(peer.kind)) return new Error(`the server is not of kind ${kinds.join(' or ')}`);
        return removed.names(certificate.raw) ? new Error('the server was removed') : undefined;
      },
    }),
    onRenewed(callback) {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    follow,
    renewWith(given) {
      renewal = given;
    },
    renew,
    retry() {
      if (closed || busy || retryAt === 0) return;
      retryAt = 0;
      clearTimeout(timer);
      schedule();
    },
    close() {
      closed = true;
      clearTimeout(timer);
      listeners.clear();
    },
  };
}

function serviceOf(certificate: { readonly subject?: { readonly CN?: unknown } }): ServiceName | null {
  const cn = certificate.subject?.CN;
  return typeof cn === 'string' ? parseServiceName(cn) : null;
}

/** Checks that the answer is for this service before anything relies on it. */
function holdingOf(enrolment: Enrolment, name: ServiceName, publicPem: string, now: number): Held {
  const certificate = new X509Certificate(enrolment.service_certificate);
  const ours = certificate.publicKey.export({ type: 'spki', format: 'pem' }).toString() === publicPem;
  if (!ours || certificate.subject !== `CN=${formatServiceName(name)}`)
    throw new StenoError('INTERNAL', 'the authority certified another key or name');
  const [from, until] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (now >= until) throw new StenoError('NOT_RUNNING', 'the existing certificates have expired, and the authority does not answer');
  const blob = (line: string | undefined): Buffer | undefined =>
    line === undefined ? undefined : Buffer.from(parseAuthorizedLine(line).blob);
  return {
    enrolment,
    certificate: enrolment.service_certificate,
    ca: enrolment.service_ca,
    host: blob(enrolment.host_certificate),
    recording: blob(enrolment.recording_certificate),
    // Host certificates live as long as service certificates, recording certificates longer.
    renewAt: from + (until - from) * (1 / 2 + Math.random() / 6),
  };
}

/** Whether a kept enrolment can be used: valid, for these keys, and for every requested host name. */
function isUsable(
  enrolment: Enrolment,
  serviceKey: string,
  wanted: {
    readonly host: SshPrivateKey | undefined;
    readonly names: readonly string[];
    readonly recording: SshPrivateKey | undefined;
    readonly now: number;
  },
): boolean {
  const certificate = new X509Certificate(enrolment.service_certificate);
  const sameKey = certificate.publicKey.export({ type: 'spki', format: 'pem' }).toString() === serviceKey;
  if (!sameKey || Date.parse(certificate.validTo) <= wanted.now) return false;
  if ((wanted.recording === undefined) !== (enrolment.recording_certificate === undefined)) return false;
  if (wanted.host === undefined) return true;
  if (!isFor(enrolment, wanted.host)) return false;
  const { principals } = parseCertificate(parseAuthorizedLine(enrolment.host_certificate!).blob);
  return wanted.names.every((name) => principals.includes(canonicalHost(name)));
}

/** Whether the host certificate is for this key: a node's sshd may have a new one. */
function isFor({ host_certificate }: Enrolment, host: SshPrivateKey): boolean {
  return (
    host_certificate !== undefined && equalBytes(parseCertificate(parseAuthorizedLine(host_certificate).blob).publicKey, host.publicBlob)
  );
}

/** Whether all certificates were issued by the current signing keys. */
function isSignedBy({ certificate, host, recording }: Held, { service, ssh_host, recording: recordingCa }: Followed['signing']): boolean {
  const by = (blob: Buffer | undefined, line: string): boolean =>
    blob === undefined || equalBytes(parseCertificate(blob).signatureKey, parseAuthorizedLine(line).blob);
  return (
    new X509Certificate(certificate).verify(new X509Certificate(service).publicKey) && by(host, ssh_host) && by(recording, recordingCa)
  );
}

function privateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // OpenSSL's message may quote the input.
    throw new StenoError('KEY_GARBLED', 'the service key');
  }
}

function missing(what: string): never {
  throw new StenoError('INTERNAL', `this service requested no ${what} key`);
}

/** Files of mode 0600 in a folder of mode 0700, replaced atomically. Without a folder nothing is kept. */
class KeyFolder {
  readonly #dir: string | undefined;

  constructor(dir: string | undefined) {
    this.#dir = dir;
    if (dir !== undefined) mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  read(name: string): string | undefined {
    if (this.#dir === undefined) return undefined;
    try {
      return readFileSync(join(this.#dir, name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  write(name: string, text: string): void {
    if (this.#dir === undefined) return;
    const temporary = join(this.#dir, `.${name}.new`);
    writeFileSync(temporary, text, { mode: 0o600, flush: true });
    renameSync(temporary, join(this.#dir, name));
  }

  keep(name: string, make: () => string): string {
    const kept = this.read(name);
    if (kept !== undefined) return kept;
    const made = make();
    this.write(name, made);
    return made;
  }
}
