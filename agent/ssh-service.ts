/**
 * The node's SSH service: what the gateway connects to.
 *
 * Admits session certificates only: user certificates of the user CA that the authority issued to a gateway for one
 * login (extension `via@steno`). A user's own certificate is refused, so that nobody gets around the gateway and its
 * recording. Fails closed without a snapshot of the authority. Tested in test/agent/agent.test.ts with stock clients.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2 from 'ssh2';
import type { AuthContext, Connection, Server as SshServer } from 'ssh2';
import { EXTENSION_VIA } from '#schemas/identity.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { Log } from '#runtime/log.js';
import { isPermittedKey, transportAlgorithms } from '#runtime/ssh/algorithms.js';
import { certifiedHostKeys } from '#runtime/ssh/certified-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { verify } from '#runtime/ssh/keys.js';
import { isAlgorithmOf, provesPossession } from '#runtime/ssh/possession.js';
import { findAccount } from './account.js';
import type { Account } from './account.js';
import { Forwarding } from './forwarding.js';
import type { KernelRecorder } from './kernel/kernel-recorder.js';
import { serveSession } from './session-channel.js';

const HANDSHAKE_LIMIT_MS = 20_000;
const MAX_CONNECTIONS = 10_000;
const MAX_UNADMITTED = 200;

export interface SshServiceParts {
  readonly hostKey: SshPrivateKey;
  readonly hostCertificate: () => Uint8Array;
  /** Public key lines. Throws while nothing is known of the authority. */
  readonly userCas: () => readonly string[];
  readonly log: Log;
  /** Null: no kernel events are recorded here. */
  readonly kernel: KernelRecorder | null;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

export interface SshService {
  /** Serves a connection that came some other way, from `address`. */
  take(connection: Duplex, address: string): void;
  close(): void;
}

export interface ListeningSshService {
  readonly address: string;
  close(): Promise<void>;
}

interface Guest {
  readonly address: string;
  /** Ends the handshake limit. */
  readonly admitted: () => void;
}
const guests = new WeakMap<object, Guest>();

export function createSshService(parts: SshServiceParts): SshService {
  const connections = new Set<Duplex>();
  let unadmitted = 0;
  const ssh: SshServer = new ssh2.Server(
    {
      hostKeys: certifiedHostKeys(parts.hostKey, parts.hostCertificate),
      algorithms: transportAlgorithms(),
      ident: 'Steno',
      keepaliveInterval: 30_000,
      keepaliveCountMax: 4,
    },
    (client) => {
      const guest = guests.get((client as unknown as { _sock: object })._sock);
      if (guest !== undefined) serveConnection(client, guest, parts);
    },
  );
  return {
    take(connection, address) {
      connection.on('error', () => connection.destroy());
      if (connections.size >= MAX_CONNECTIONS || unadmitted >= MAX_UNADMITTED) return void connection.destroy();
      connections.add(connection);
      unadmitted += 1;
      const limit = setTimeout(() => connection.destroy(), HANDSHAKE_LIMIT_MS);
      let counted = true;
      const admitted = (): void => {
        if (!counted) return;
        counted = false;
        clearTimeout(limit);
        unadmitted -= 1;
      };
      connection.on('close', () => {
        connections.delete(connection);
        admitted();
      });
      guests.set(connection, { address, admitted });
      ssh.injectSocket(connection as Socket);
    },
    close() {
      for (const connection of connections) connection.destroy();
    },
  };
}

export async function startSshService(
  listen: { readonly host: string; readonly port: number },
  parts: SshServiceParts,
): Promise<ListeningSshService> {
  const service = createSshService(parts);
  const server = createServer({ noDelay: true }, (socket) => service.take(socket, socket.remoteAddress ?? ''));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: listen.host, port: listen.port }, resolve);
  });
  const { address, port } = server.address() as AddressInfo;
  return {
    address: `${address.includes(':') ? `[${address}]` : address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        service.close();
      }),
  };
}

function serveConnection(client: Connection, { address, admitted }: Guest, parts: SshServiceParts): void {
  const { log } = parts;
  let account: Account | undefined;
  let attempts = 0;
  client.on('error', (error) => log.debug({ err: error }, 'connection error'));
  client.on('authentication', (context) => {
    attempts += 1;
    const admission = context.method === 'publickey' ? judge(context, parts) : 'only session certificates are admitted';
    if (typeof admission === 'string') {
      log.info({ address, login: context.username, reason: admission }, 'admission refused');
      if (attempts > 6) return client.end();
      return context.reject(['publickey']);
    }
    // A question whether the certificate would do: no signature yet.
    if (admission.proven === false) return context.accept();
    findAccount(context.username).then(
      (found) => {
        account = found;
        context.accept();
      },
      (error: unknown) => {
        log.info({ address, login: context.username, err: error }, 'admission refused');
        context.reject();
      },
    );
  });
  client.on('ready', () => {
    admitted();
    const forwarding = new Forwarding(client, account!);
    client.on('close', () => forwarding.close());
    client.on('session', (accept) => {
      const session = accept();
      session.on('auth-agent', (yes, no) => {
        if (forwarding.forwardAgent()) yes?.();
        else no?.();
      });
      serveSession(session, {
        account: account!,
        log,
        kernel: parts.kernel,
        agentSocket: () => forwarding.agentSocket(),
        connection: `${address} 0 127.0.0.1 0`,
      });
    });
  });
}

/** Why not, or whether the key's possession is proven already. */
function judge(
  context: Extract<AuthContext, { method: 'publickey' }>,
  { userCas, clock }: SshServiceParts,
): string | { readonly proven: boolean } {
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
    principal: context.username,
    verify,
  });
  if (!admission.ok) return `${admission.code}: ${admission.detail}`;
  if (!certificate.extensions.has(EXTENSION_VIA)) return 'a certificate that no gateway asked for';
  if (!isPermittedKey(context.key.algo)) return 'a key of a kind that FIPS mode does not take';
  if (!isAlgorithmOf(certificate, context.key.algo)) return "another algorithm than the certificate's";
  if (context.signature === undefined) return { proven: false };
  return provesPossession(certificate, context) ? { proven: true } : 'the signature does not match';
}
