/**
 * The node's SSH service, to which the gateway connects.
 *
 * Admits session certificates only: user certificates of the user CA that the authority issued to a gateway (extension
 * `via@steno`) for one login on this very node (principal `LOGIN@NODE`). A user's own certificate is refused, so that nobody
 * can bypass the gateway and its recording. Without a snapshot of the authority everything is refused. An account is checked
 * (login/admission.ts) before its login is accepted, and with it everything that the connection requests later. A fault
 * inside a connection ends that connection (boundary.ts). Tested in test/agent/agent.test.ts with stock clients.
 */
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2 from 'ssh2';
import type { AuthContext, Connection, Server as SshServer } from 'ssh2';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort } from '#schemas/base/host-port.js';
import type { HostPort } from '#schemas/base/host-port.js';
import {
  CHECKING_NODE_IDENT,
  EXTENSION_ADMINISTRATOR,
  EXTENSION_FORWARDING,
  EXTENSION_VIA,
  nodePrincipal,
} from '#schemas/base/identity.js';
import { NO_FORWARDING, USUAL_FORWARDING, decodeForwarding } from '#schemas/policy/forwarding.js';
import type { Forwarding as ForwardRules } from '#schemas/policy/forwarding.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { NODE_EXTENSION } from '#schemas/ssh/capabilities.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { Log } from '#runtime/log.js';
import { listenAt } from '#runtime/http/listen.js';
import { StrangerSlots, defaultSlots } from '#runtime/http/stranger-slots.js';
import type { SlotLimits } from '#runtime/http/stranger-slots.js';
import { isPermittedKey, transportAlgorithms } from '#runtime/ssh/algorithms.js';
import { certifiedHostKeys } from '#runtime/ssh/certified-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { verify } from '#runtime/ssh/keys.js';
import { isAlgorithmOf, provesPossession } from '#runtime/ssh/possession.js';
import { sendAuthBanner, setExtensions } from '#runtime/ssh/own-messages.js';
import { findAccount } from '../login/account.js';
import type { Account } from '../login/account.js';
import { Admission, LoginRefused } from '../login/admission.js';
import { Boundary, outside } from './boundary.js';
import { Forwarding } from './forwarding.js';
import { keepDescriptors } from '../helper/descriptors.js';
import { Helpers } from '../helper/helper.js';
import type { KernelRecorder } from '../kernel/kernel-recorder.js';
import { RuntimeFolder } from './runtime-folder.js';
import { serveSession } from './session-channel.js';

const HANDSHAKE_LIMIT_MS = 20_000;
const MAX_CONNECTIONS = 10_000;
/** Gateways connect from one address for all users, so a single source may use all slots. */
const slotLimits: SlotLimits = { ...defaultSlots, start: defaultSlots.full, perSource: defaultSlots.full };
const MAX_ATTEMPTS = 6;

export interface SshServiceParts {
  /** Name of this node: certificates for other nodes are refused. */
  readonly node: string;
  readonly hostKey: SshPrivateKey;
  readonly hostCertificate: () => Uint8Array;
  /** Public key lines. Throws before the first snapshot of the authority. */
  readonly userCas: () => readonly string[];
  readonly log: Log;
  /** Null: no kernel events are recorded here. */
  readonly kernel: KernelRecorder | null;
  /**
   * Accounts that own this machine's Steno: only certificates that permit it may enter them. Omitted if there is none here.
   */
  readonly owners?: ReadonlySet<number>;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Replaces `findAccount`, for tests. */
  readonly accounts?: (login: string) => Promise<Account>;
}

export interface SshService {
  /** Serves a connection that arrived some other way, from `address`. */
  take(connection: Duplex, address: string): void;
  close(): void;
}

export interface ListeningSshService {
  readonly address: string;
  close(): Promise<void>;
}

interface Handshake {
  readonly address: string;
  readonly boundary: Boundary;
  /** Cancels the handshake time limit. */
  readonly admitted: () => void;
}
const handshakes = new WeakMap<object, Handshake>();

/** State shared by all connections of a service. */
interface Shared {
  readonly helpers: Helpers;
  readonly admission: Admission;
  /** Throws if there is none. */
  readonly runtime: () => RuntimeFolder;
}

export function createSshService(parts: SshServiceParts): SshService {
  keepDescriptors();
  const connections = new Set<Duplex>();
  const helpers = new Helpers(parts.log);
  let runtime: RuntimeFolder | undefined;
  const shared: Shared = { helpers, admission: new Admission(helpers), runtime: () => (runtime ??= outside(() => RuntimeFolder.open())) };
  const slots = new StrangerSlots(slotLimits, { log: parts.log });
  const ssh: SshServer = new ssh2.Server(
    {
      hostKeys: certifiedHostKeys(parts.hostKey, parts.hostCertificate),
      algorithms: transportAlgorithms(),
      ident: CHECKING_NODE_IDENT,
      keepaliveInterval: 30_000,
      keepaliveCountMax: 4,
    },
    (client) => {
      const handshake = handshakes.get((client as unknown as { _sock: object })._sock);
      if (handshake !== undefined) serveConnection(client, handshake, parts, shared);
    },
  );
  return {
    take(connection, address) {
      connection.on('error', () => connection.destroy());
      const slot = connections.size >= MAX_CONNECTIONS ? null : slots.take(address, () => connection.destroy());
      if (slot === null) return void connection.destroy();
      connections.add(connection);
      const limit = setTimeout(() => connection.destroy(), HANDSHAKE_LIMIT_MS);
      const admitted = (): void => {
        clearTimeout(limit);
        slot.admitted();
      };
      connection.on('close', () => {
        connections.delete(connection);
        clearTimeout(limit);
        slot.release();
      });
      const boundary = new Boundary(parts.log, { address }, () => connection.destroy());
      boundary.watch(connection);
      handshakes.set(connection, { address, boundary, admitted });
      boundary.run(() => {
        outside(() => helpers.warm());
        ssh.injectSocket(connection as Socket);
      });
    },
    close() {
      for (const connection of connections) connection.destroy();
      helpers.close();
      runtime?.close();
      slots.close();
    },
  };
}

export async function startSshService(listen: HostPort, parts: SshServiceParts): Promise<ListeningSshService> {
  const service = createSshService(parts);
  const server = createServer({ noDelay: true }, (socket) => service.take(socket, socket.remoteAddress ?? ''));
  const bound = await listenAt(server, listen, (error) => parts.log.error({ err: error }, 'the listener failed'));
  return {
    address: formatHostPort(bound),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        service.close();
      }),
  };
}

function serveConnection(
  client: Connection,
  { address, boundary, admitted }: Handshake,
  parts: SshServiceParts,
  { helpers, admission, runtime }: Shared,
): void {
  const { log, accounts = findAccount } = parts;
  let account: Account | undefined;
  let rules = NO_FORWARDING;
  let attempts = 0;
  setExtensions(client, NODE_EXTENSION);
  client.on('error', (error: Error & { readonly level?: string }) => {
    // ssh2 sets `level` on its own errors; it also passes on errors thrown by handlers.
    if (account !== undefined && error.level === undefined) boundary.fail(error);
    else log.debug({ err: error }, 'connection error');
  });
  client.on('authentication', (context) => {
    attempts += 1;
    const verdict = context.method === 'publickey' ? judge(context, parts) : 'only session certificates are admitted';
    if (typeof verdict === 'string') {
      log.info({ address, login: context.username, reason: verdict }, 'admission refused');
      if (attempts > MAX_ATTEMPTS) return client.end();
      return context.reject(['publickey']);
    }
    // The client asks whether the certificate would be accepted, without a signature.
    if (verdict.proven === false) return context.accept();
    void boundary.run(async () => {
      try {
        const found = await accounts(context.username);
        // Compare by uid: an account may have several names.
        if (parts.owners?.has(found.uid) === true && !verdict.certificate.extensions.has(EXTENSION_ADMINISTRATOR)) {
          log.warn(
            { address, login: context.username, user: verdict.certificate.extensions.get(EXTENSION_VIA) },
            'admission refused: this account owns Steno, and the user does not administer it',
          );
          return context.reject();
        }
        await outside(() => admission.judge(found, address));
        account = found;
        rules = rulesOf(verdict.certificate);
      } catch (error) {
        if (!(error instanceof StenoError)) throw error;
        log.info({ address, login: context.username, reason: error.detail ?? error.message }, 'admission refused');
        if (error instanceof LoginRefused && error.text !== '') sendAuthBanner(client, `${error.text}\r\n`);
        return context.reject();
      }
      context.accept();
    });
  });
  client.on('ready', () => {
    admitted();
    const forwarding = new Forwarding(client, { account: account!, rules, boundary, helpers, log, runtime });
    client.on('close', () => forwarding.close());
    client.on('session', (accept) => {
      const session = accept();
      session.on('auth-agent', (yes, no) => {
        try {
          forwarding.forwardAgent();
        } catch (error) {
          log.warn({ address, err: error }, 'the agent cannot be forwarded');
          return no?.();
        }
        yes?.();
      });
      serveSession(session, {
        account: account!,
        log,
        kernel: parts.kernel,
        agentSocket: () => forwarding.agentSocket(),
        forwardingsAnswered: () => forwarding.answered(),
        connection: `${address} 0 127.0.0.1 0`,
      });
    });
  });
}

/** The reason for refusal, or whether possession of the key is already proven. */
function judge(
  context: Extract<AuthContext, { method: 'publickey' }>,
  { node, userCas, clock }: SshServiceParts,
): string | { readonly proven: boolean; readonly certificate: SshCertificate } {
  let certificate: SshCertificate;
  try {
    certificate = parseCertificate(context.key.data);
  } catch {
    return 'no certificate';
  }
  const admission = checkCertificate(certificate, {
    kind: 'user',
    now: Math.floor(clock() / 1000),
    trusted: userCas().map((line) => parseAuthorizedLine(line).blob),
    principal: nodePrincipal(context.username, node),
    verify,
  });
  if (!admission.ok) return `${admission.code}: ${admission.detail}`;
  if (!certificate.extensions.has(EXTENSION_VIA)) return 'a certificate that no gateway asked for';
  if (!isPermittedKey(context.key.algo)) return 'a key of a kind that FIPS mode does not take';
  if (!isAlgorithmOf(certificate, context.key.algo)) return "another algorithm than the certificate's";
  if (context.signature === undefined) return { proven: false, certificate };
  return provesPossession(certificate, context) ? { proven: true, certificate } : 'the signature does not match';
}

/** Older authorities do not state destinations. */
function rulesOf({ extensions }: SshCertificate): ForwardRules {
  if (!extensions.has('permit-port-forwarding')) return NO_FORWARDING;
  const told = extensions.get(EXTENSION_FORWARDING);
  return told === undefined ? USUAL_FORWARDING : decodeForwarding(told);
}
