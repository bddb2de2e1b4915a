/**
 * The gateway: its parts, wired.
 *
 *     authority ──snapshots, certificates──► ssh door ──sessions──► recorder ──► spool ──► uplink
 *
 * Start: keys, recorder, host certificate, listen. Close, in this order: take nobody in, tell everybody and end their
 * sessions, wait for their recordings, then the recorder. Fails closed: without a snapshot nobody is admitted.
 */
import { randomBytes } from 'node:crypto';
import { generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service.js';
import { StenoError } from '#schemas/errors.js';
import type { Snapshot } from '#schemas/api.js';
import type { NodeRecord } from '#schemas/role.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { Recorder } from './recorder/recorder.js';
import { KnownKeys } from './ssh/admission.js';
import type { Authority } from './ssh/authority.js';
import type { OpenTunnel } from './ssh/dial.js';
import { defaultLimits, Door } from './ssh/door.js';
import type { DoorLimits } from './ssh/door.js';
import { HostKeys } from './ssh/host-keys.js';
import { SessionCertificates } from './ssh/session-certificates.js';
import { SessionPlaces } from './ssh/session-places.js';
import type { Observe } from './ssh/session-recording.js';
import { cryptoReady } from './ssh/transport.js';

export interface GatewayConfig {
  /** Of its host certificate. */
  readonly name: string;
  /** `host:port`; port 0 picks a free one. */
  readonly listen: string;
}

export interface GatewayDeps {
  readonly authority: Authority;
  readonly recorder: Recorder;
  readonly observe: Observe;
  readonly hostKey: SshPrivateKey;
  /** The gateway's own host certificate as it is now; the authority is asked for those of nodes. */
  readonly hostCertificate: () => Uint8Array;
  /** Calls back when it is another; returns how to stop. */
  readonly onHostCertificate?: (callback: () => void) => () => void;
  readonly log: Log;
  /** ms since 1970. */
  readonly now: () => number;
  readonly limits?: DoorLimits;
  /** Left out: nodes behind tunnels cannot be reached. */
  readonly openTunnel?: OpenTunnel;
}

/** Rejects PORT_TAKEN, USAGE for an address that is none, or what the authority rejects with. */
export async function startGateway(
  { name, listen }: GatewayConfig,
  {
    authority,
    recorder,
    observe,
    hostKey,
    hostCertificate,
    onHostCertificate,
    log,
    now,
    limits = defaultLimits,
    openTunnel = noTunnels,
  }: GatewayDeps,
): Promise<Running> {
  await cryptoReady;
  const closing = new Set<Promise<void>>();
  const certificates = new SessionCertificates(authority, generateKey(), now);
  const publicKey = formatPublicLine(hostKey.publicBlob);
  const certify = async (host: string): Promise<Uint8Array> =>
    host === name ? hostCertificate() : parseAuthorizedLine(await authority.hostCertificate(publicKey, host)).blob;
  const hostKeys = new HostKeys(certify, hostKey, now);
  const snapshot = (): Snapshot | null => {
    try {
      return authority.current();
    } catch {
      return null;
    }
  };
  const places = new SessionPlaces(authority, { run: randomBytes(8).toString('hex'), snapshot, log });
  const door = new Door({
    name,
    hostKeys,
    limits,
    log,
    now,
    certificates,
    recorder,
    observe,
    openTunnel,
    confirmSession: (request, shown, signal) => authority.confirmSession(request, shown, signal),
    knownKeys: new KnownKeys(),
    places,
    snapshot,
    track: (recording) => {
      closing.add(recording);
      void recording
        .catch((error: unknown) => log.error({ err: error }, 'closing a recording failed'))
        .finally(() => closing.delete(recording));
    },
  });
  let signing = snapshot()?.signing.ssh_host;
  const stopRenewed = onHostCertificate?.(() => hostKeys.forget());
  const stopWatching = authority.onChange(() => {
    const latest = snapshot();
    certificates.forget();
    if (latest !== null && latest.signing.ssh_host !== signing) hostKeys.forget();
    signing = latest?.signing.ssh_host ?? signing;
    if (latest !== null) door.recheck(latest);
    places.recheck();
  });
  const address = await door.listen(...hostAndPort(listen));
  return {
    addresses: { ssh: address },
    close: async () => {
      stopWatching();
      stopRenewed?.();
      await door.close(new StenoError('DRAINING'));
      await places.close();
      while (closing.size > 0) await Promise.allSettled([...closing]);
      await recorder.close();
    },
  };
}

function noTunnels(node: NodeRecord): never {
  throw new StenoError('NODE_UNREACHABLE', `${node.name} is behind a tunnel, and this gateway takes none`);
}

export function hostAndPort(listen: string): [host: string, port: number] {
  const match = /^\[?([^[\]]+?)\]?:(\d{1,5})$/.exec(listen);
  if (match === null || Number(match[2]) > 65_535) throw new StenoError('USAGE', `${listen} is not host:port`);
  return [match[1]!, Number(match[2])];
}
