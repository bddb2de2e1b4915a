/** The two listeners of the authority: the owner's socket, and TLS for services and signed requests. */
import type { IncomingMessage } from 'node:http';
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { formatHostPort, requireHostPort } from '#schemas/base/host-port.js';
import { listenAt } from '#runtime/http/listen.js';
import type { Log } from '#runtime/log.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { refuseCaller } from './owner-caller.js';
import { listenPrivately } from './owner-socket.js';
import { ownerServer, tlsServer } from './server.js';
import type { HttpParts, Route } from './server.js';

export interface OwnerSocket {
  readonly path: string;
  readonly owner: string;
  /** Process id of `steno up`. */
  readonly supervisor: number | undefined;
}

/** Resolves once it listens, with a function that closes it. */
export async function openOwnerSocket(
  routes: readonly Route[],
  { path, owner, supervisor }: OwnerSocket,
  parts: HttpParts,
): Promise<() => Promise<void>> {
  const { app, server } = await ownerServer(routes, owner, parts, (socket) =>
    refuseCaller(socket, { uid: process.getuid?.() ?? -1, supervisor }),
  );
  await listenPrivately(server, path);
  return async () => {
    await stop(server);
    await app.close();
  };
}

export interface TlsListener {
  /** `https://host:port`. */
  readonly url: string;
  close(): Promise<void>;
}

/** `listen`: `host:port`. Certificates renewed by `identity` are used from then on. */
export async function openTlsListener(
  routes: readonly Route[],
  identity: ServiceIdentity,
  { listen, onUpgrade }: { readonly listen: string; readonly onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void },
  parts: HttpParts,
): Promise<TlsListener> {
  const { app, server } = await tlsServer(routes, identity.tlsServerOptions(), parts);
  const stopRenewed = identity.onRenewed(() => server.setSecureContext(identity.tlsServerOptions()));
  identity.removed.guard(server);
  server.on('upgrade', onUpgrade);
  const close = async (): Promise<void> => {
    await stop(server);
    await app.close();
    stopRenewed();
  };
  try {
    return { url: await listenOn(server, listen, parts.log), close };
  } catch (error) {
    stopRenewed();
    throw error;
  }
}

async function listenOn(server: Server, address: string, log: Log): Promise<string> {
  const at = requireHostPort(address);
  const { port } = await listenAt(server, at, (error) => log.error({ err: error }, 'the listener failed'));
  // The configured host, because the server's certificate names it; the bound address may be another.
  return `https://${formatHostPort({ host: at.host, port })}`;
}

/** Stops listening and closes connections: clients' keep-alive connections would hold a drain for minutes. */
function stop(server: Server): Promise<void> {
  return new Promise((done) => {
    server.close(() => done());
    (server as Server & { closeIdleConnections?: () => void }).closeIdleConnections?.();
    setTimeout(() => (server as Server & { closeAllConnections?: () => void }).closeAllConnections?.(), 1_000).unref();
  });
}
