/**
 * Unix sockets of a machine, opened as the account of a session.
 *
 * The agent may be root, and root may connect to sockets that the account may not. So a small process with the account's
 * ids and groups connects and listens, and hands the connected sockets over; the kernel judges it as any program of the
 * account. One for each connection that asks, started when it first asks, gone with it. A path that is there is not
 * replaced, and sockets are made for their owner alone, as sshd does (StreamLocalBindUnlink no, mask 0177). Tested in
 * test/agent/streamlocal.test.ts with stock ssh.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Account } from './account.js';

/** Linux's `sun_path`, with its closing zero. */
const MAX_PATH = 107;

type Told = { readonly kind: 'connected' | 'failed' | 'listening' | 'accepted'; readonly id: number };

// Sockets are handed over unread: nothing of them may stay behind.
const helper = `
const net = require('node:net');
const servers = new Map();
process.umask(0o177);
const tell = (kind, id, handle) => process.send({ kind, id }, handle, () => undefined);
process.on('message', ({ kind, id, path }) => {
  if (kind === 'connect') {
    const socket = net.connect({ path, allowHalfOpen: true });
    socket.pause();
    const failed = () => tell('failed', id);
    socket.once('error', failed);
    socket.once('connect', () => { socket.off('error', failed); socket.on('error', () => undefined); tell('connected', id, socket); });
  } else if (kind === 'listen') {
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => tell('accepted', id, socket));
    server.once('error', () => tell('failed', id));
    server.listen(path, () => { servers.set(id, server); tell('listening', id); });
  } else if (kind === 'close') {
    servers.get(id)?.close();
    servers.delete(id);
  }
});
process.on('disconnect', () => {
  for (const server of servers.values()) server.close();
  process.exit(0);
});
`;

export class UnixSockets {
  readonly #account: Account;
  #child: ChildProcess | undefined;
  #nextId = 0;
  readonly #waiting = new Map<number, (socket: Socket | null) => void>();
  readonly #listening = new Map<number, { readonly ready: (ok: boolean) => void; readonly accept: (socket: Socket) => void }>();

  constructor(account: Account) {
    this.#account = account;
  }

  /** Null when the account may not, or nothing listens there. */
  connect(path: string): Promise<Socket | null> {
    if (!isSocketPath(path)) return Promise.resolve(null);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#running().send({ kind: 'connect', id, path }, () => undefined);
    });
  }

  /** How to stop; null when the account may not, or something is there. */
  async listen(path: string, accept: (socket: Socket) => void): Promise<(() => void) | null> {
    if (!isSocketPath(path)) return null;
    const id = this.#nextId++;
    const child = this.#running();
    const ok = await new Promise<boolean>((resolve) => {
      this.#listening.set(id, { ready: resolve, accept });
      child.send({ kind: 'listen', id, path }, () => undefined);
    });
    if (!ok) return null;
    return () => {
      this.#listening.delete(id);
      if (child.connected) child.send({ kind: 'close', id }, () => undefined);
    };
  }

  close(): void {
    if (this.#child?.connected === true) this.#child.disconnect();
  }

  #running(): ChildProcess {
    if (this.#child !== undefined) return this.#child;
    const { uid, gid, home } = this.#account;
    const node = [process.execPath, '-e', helper];
    const words =
      process.getuid!() === 0 ? ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--inh-caps=-all', '--', ...node] : node;
    const child = spawn(words[0]!, words.slice(1), {
      cwd: '/',
      env: { HOME: home, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child = child;
    child.on('message', (told, handle) => this.#told(told as Told, handle as Socket | undefined));
    const gone = (): void => {
      this.#child = undefined;
      for (const resolve of this.#waiting.values()) resolve(null);
      this.#waiting.clear();
      for (const { ready } of this.#listening.values()) ready(false);
      this.#listening.clear();
    };
    child.on('error', gone);
    child.on('exit', gone);
    return child;
  }

  #told({ kind, id }: Told, socket: Socket | undefined): void {
    const listener = this.#listening.get(id);
    if (socket !== undefined) socket.allowHalfOpen = true;
    if (kind === 'accepted' && socket !== undefined) {
      if (listener === undefined) socket.destroy();
      else listener.accept(socket);
      return;
    }
    if (listener !== undefined) {
      listener.ready(kind === 'listening');
      if (kind === 'failed') this.#listening.delete(id);
      return;
    }
    this.#waiting.get(id)?.(kind === 'connected' && socket !== undefined ? socket : null);
    this.#waiting.delete(id);
  }
}

function isSocketPath(path: string): boolean {
  return path.startsWith('/') && !path.includes('\0') && Buffer.byteLength(path) <= MAX_PATH;
}
