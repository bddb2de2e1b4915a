/**
 * Creates the Unix socket of the machine's owner: everyone who can open it is an administrator.
 *
 * The folder is created with mode 0700 and must belong to us; the socket is bound under umask 077, so that no other user can
 * connect at any moment, and has mode 0600. An existing socket is removed only if nobody answers on it; anything that is not
 * a socket is never removed. Tested in owner-socket.test.ts.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import type { Server } from 'node:net';
import { dirname } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';

/** Size of Linux's sun_path with its NUL; macOS allows 104, which its kernel enforces. */
const MAX_PATH = 107;

/** Creates the folder, or checks that it is ours, a real folder and closed to others; the last is corrected if needed. */
export function preparePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stat = lstatSync(path);
  if (!stat.isDirectory()) throw new StenoError('SOCKET_UNSAFE', `${path} is not a folder`);
  if (stat.uid !== process.getuid?.()) throw new StenoError('SOCKET_UNSAFE', `${path} belongs to another user`);
  if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o700);
}

export async function listenPrivately(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH) throw new StenoError('SOCKET_UNSAFE', `the path ${path} is longer than ${MAX_PATH} bytes`);
  preparePrivateFolder(dirname(path));
  await removeStale(path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new StenoError('ALREADY_RUNNING', path) : error),
    );
    const before = process.umask(0o077);
    try {
      // Node binds the path within this call; only 'listening' comes later.
      server.listen(path, resolve);
    } finally {
      process.umask(before);
    }
  });
  chmodSync(path, 0o600);
}

async function removeStale(path: string): Promise<void> {
  let stat;
  try {
    stat = lstatSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (!stat.isSocket()) throw new StenoError('SOCKET_UNSAFE', `${path} is there already and is not a socket`);
  if (await answers(path)) throw new StenoError('ALREADY_RUNNING', path);
  rmSync(path, { force: true });
}

/** Only a refused connection proves that nobody listens; any other failure counts as an answer. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}
