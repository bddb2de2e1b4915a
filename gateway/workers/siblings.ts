/**
 * Sockets over which the workers of one gateway reach each other: they carry streams to nodes whose agent holds its tunnel to another
 * worker.
 *
 *     FOLDER/NUMBER.sock    in a folder of mode 0700: whoever connects is of this gateway
 *     connect ──one line of JSON, a `SiblingRequest`──► the bytes of the stream, both ways
 *
 * A socket also proves that a worker is alive and uses its spool: a process that replaces a worker waits until the earlier process has
 * exited, however the parent of the earlier process died. Limits: a line of MAX_LINE bytes within REQUEST_MS; the tunnel limits the
 * streams. Tested in siblings.test.ts.
 */
import { rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import type { Log } from '#runtime/log.js';

const MAX_LINE = 2_048;
const REQUEST_MS = 5_000;
/** An earlier process has this long to complete its recordings and exit. */
const EARLIER_MS = 30_000;
/** Length of `sun_path` on Linux, without the terminating zero. */
const MAX_PATH = 107;
const NEWLINE = 10;

const siblingRequest = z.strictObject({
  kind: z.enum(['ssh', 'kubernetes', 'pod']),
  node: z.string().refine(isName),
  /** Key of the agent that must hold the tunnel, from the node's record. */
  key: z.string().max(128),
  /** The user's address. */
  source: z.string().max(256),
});
export type SiblingRequest = Readonly<z.infer<typeof siblingRequest>>;

/** Opens a stream to a node whose tunnel this worker holds. Throws NODE_UNREACHABLE, TOO_MANY. */
export type OpenHere = (request: SiblingRequest) => Duplex;

export function siblingPath(folder: string, number: number): string {
  const path = join(folder, `${number}.sock`);
  if (Buffer.byteLength(path) > MAX_PATH)
    throw new StenoError('CONFIG_INVALID', `workers need a shorter \`data\`: ${path} is no name of a socket`);
  return path;
}

/**
 * Waits until no earlier process of this number is left, then listens on its socket. The socket must stay open for as long as this process
 * runs: do not close it. Rejects with ALREADY_RUNNING.
 */
export async function takePlace(path: string, log: Log, limitMs = EARLIER_MS): Promise<Server> {
  const deadline = performance.now() + limitMs;
  while (await lives(path, limitMs)) {
    if (performance.now() >= deadline) throw new StenoError('ALREADY_RUNNING', `an earlier process holds ${path}`);
    log.info({ path }, 'waited for an earlier process');
  }
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return server;
}

/** Whether a process holds the socket; if so, resolves when that process exits, closes the connection, or after `limitMs`. */
function lives(path: string, limitMs: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let met = false;
    socket.on('connect', () => {
      met = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (met || error.code === 'ECONNREFUSED' || error.code === 'ENOENT') return;
      reject(error);
    });
    socket.setTimeout(limitMs, () => socket.destroy());
    socket.resume();
    socket.on('close', () => resolve(met));
  });
}

/** Serves the streams that siblings ask for. */
export function serveSiblings(server: Server, open: OpenHere, log: Log): void {
  server.on('connection', (socket) => {
    socket.on('error', () => socket.destroy());
    readRequest(socket, (request) => {
      let stream: Duplex;
      try {
        stream = open(request);
      } catch (error) {
        log.info({ err: error, node: request.node }, 'a stream for a sibling could not be opened');
        return void socket.destroy();
      }
      pipeline(socket, stream, socket, () => undefined);
    });
  });
}

/** Asks a sibling for a stream; if the sibling cannot open one, the stream ends immediately. */
export function askSibling(path: string, request: SiblingRequest): Socket {
  const socket = connect({ path, allowHalfOpen: true });
  socket.write(`${JSON.stringify(request)}\n`);
  return socket;
}

function readRequest(socket: Socket, take: (request: SiblingRequest) => void): void {
  const limit = setTimeout(() => socket.destroy(), REQUEST_MS);
  socket.once('close', () => clearTimeout(limit));
  let line = Buffer.alloc(0);
  const read = (chunk: Buffer): void => {
    const end = chunk.indexOf(NEWLINE);
    line = Buffer.concat([line, end < 0 ? chunk : chunk.subarray(0, end)]);
    if (line.length > MAX_LINE) return void socket.destroy();
    if (end < 0) return;
    clearTimeout(limit);
    socket.off('data', read);
    socket.pause();
    if (end + 1 < chunk.length) socket.unshift(chunk.subarray(end + 1));
    const request = siblingRequest.safeParse(parse(line.toString()));
    if (request.success) take(request.data);
    else socket.destroy();
  };
  socket.on('data', read);
  socket.on('end', () => {
    if (socket.listeners('data').includes(read)) socket.destroy();
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
