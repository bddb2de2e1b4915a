/**
 * The node's SSH service: what the gateway connects to.
 *
 * Admits session certificates only: user certificates of the user CA that the authority issued to a gateway for one
 * login (extension `via@steno`). A user's own certificate is refused, so that nobody gets around the gateway and its
 * recording. Fails closed without a snapshot of the authority. Tested in test/agent/agent.test.ts with stock clients.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import ssh2 from 'ssh2';
import type { AuthContext, Connection, Server as SshServer } from 'ssh2';
import type { Snapshot } from '#schemas/api.js';
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
import { serveSession } from './session-channel.js';

const HANDSHAKE_LIMIT_MS = 20_000;
const MAX_CONNECTIONS = 10_000;
const MAX_UNADMITTED = 200;

export interface SshServiceParts {
  readonly hostKey: SshPrivateKey;
  readonly hostCertificate: () => Uint8Array;
  /** Throws while nothing is known of the authority. */
  readonly snapshot: () => Snapshot;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

export interface SshService {
  readonly address: string;
  close(): Promise<void>;
}

export async function startSshService(listen: { readonly host: string; readonly port: number }, parts: SshServiceParts): Promise<SshService> {
  const sockets = new Set<Socket>();
  let unadmitted = 0;
  const ssh: SshServer = new ssh2.Server(
    { hostKeys: certifiedHostKeys(parts.hostKey, parts.hostCertificate), algorithms: transportAlgorithms(), ident: 'Steno', keepaliveInterval: 30_000, keepaliveCountMax: 4 },
    (client, info) => serveConnection(client, info.ip, parts),
  );
  const server = createServer({ noDelay: true }, (socket) => {
    if (sockets.size >= MAX_CONNECTIONS || unadmitted >= MAX_UNADMITTED) return socket.destroy();
    sockets.add(socket);
    unadmitted += 1;
    const limit = setTimeout(() => socket.destroy(), HANDSHAKE_LIMIT_MS);
    const admitted = (): void => {
      clearTimeout(limit);
      unadmitted -= 1;
    };
    let open = true;
    const once = (): void => {
      if (open) admitted();
      open = false;
    };
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      once();
    });
    ready.set(socket, once);
    ssh.injectSocket(socket);
  });
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
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Sockets to what ends their handshake limit. */
const ready = new WeakMap<object, () => void>();

function serveConnection(client: Connection, address: string, parts: SshServiceParts): void {
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
    ready.get((client as unknown as { _sock: object })._sock)?.();
    const forwarding = new Forwarding(client, account!);
    client.on('close', () => forwarding.close());
    client.on('session', (accept) => {
      const session = accept();
      session.on('auth-agent', (yes, no) => {
        if (forwarding.forwardAgent()) yes?.();
        else no?.();
      });
      serveSession(session, {
        account: account!, log, agentSocket: () => forwarding.agentSocket(), connection: `${address} 0 127.0.0.1 0`,
      });
    });
  });
}

/** Why not, or whether the key's possession is proven already. */
function judge(context: Extract<AuthContext, { method: 'publickey' }>, { snapshot, clock }: SshServiceParts): string | { readonly proven: boolean } {
  let certificate: SshCertificate;
  try {
    certificate = parseCertificate(context.key.data);
  } catch {
    return 'no certificate';
  }
  const admission = checkCertificate(certificate, {
    kind: 'user',
    now: Math.floor(clock() / 1000),
    trusted: snapshot().ssh_user_ca.map((line) => parseAuthorizedLine(line).blob),
    principal: context.username,
    verify,
  });
  if (!admission.ok) return `${admission.code}: ${admission.detail}`;
  if (!certificate.extensions.has(EXTENSION_VIA)) return 'a certificate that no gateway asked for';
  if (!isPermittedKey(context.key.algo)) return 'a key of a kind that FIPS mode does not take';
  if (!isAlgorithmOf(certificate, context.key.algo)) return 'another algorithm than the certificate\'s';
  if (context.signature === undefined) return { proven: false };
  return provesPossession(certificate, context) ? { proven: true } : 'the signature does not match';
}
