/** Shared by the tests of stock clients: programs in the background, an echo server, SOCKS5, new sessions, git, ssh_config. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { readFileSync } from 'node:fs';
import { buffer, text } from 'node:stream/consumers';
import { join } from 'node:path';
import type { AuditRow } from '#schemas/events/rows.js';
import { listAudit } from '#schemas/api/recordings/audit.js';
import { listKernelEvents, listSessions } from '#schemas/api/recordings/sessions.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Query } from '#schemas/endpoint/endpoint.js';
import { isUnfinished, logPatience, verifyEventLog } from '#schemas/recording/event-log-check.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { KeyframeCheck } from '#recordings/render/keyframe-check.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { terminated } from '#runtime/testing/terminated.js';
import { openClient } from '../../cli/client/client.js';
import { openHome } from '../../cli/client/home.js';
import { exportOf, noneThere, untilFinished } from '../../cli/verbs/evidence/fetch.js';
import { eventually } from './machine.js';
import type { Result, Steno } from './machine.js';

export interface Background {
  readonly pid: number;
  readonly text: () => string;
  /** Resolves with the match once standard output or error matches; rejects if the program ends first. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<number | null>;
  write(text: string): void;
  /** Ends the program by its pid and waits. */
  stop(): Promise<void>;
}

export function background(steno: Steno, file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Background {
  const child = spawn(file, [...args], { env: { ...steno.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  const watchers = new Set<() => void>();
  const wake = (): void => watchers.forEach((watcher) => watcher());
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
      wake();
    });
  }
  child.stdin.on('error', () => undefined);
  let over = false;
  const ended = new Promise<number | null>((resolve) =>
    child.once('close', (code) => {
      over = true;
      resolve(code);
      wake();
    }),
  );
  return {
    pid: child.pid!,
    text: () => said,
    write: (input) => void child.stdin.write(input),
    ended,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(said);
          if (match === null && !over) return;
          watchers.delete(look);
          if (match !== null) resolve(match);
          else reject(new Error(`${file} ended before ${pattern}:\n${said}\n${steno.logs()}`));
        };
        watchers.add(look);
        look();
      }),
    async stop() {
      await terminated(child);
      await ended;
    },
  };
}

/** Sends every connection its own bytes back. */
export async function echoServer(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket
      .on('error', () => undefined)
      .on('close', () => sockets.delete(socket))
      .pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Sends `bytes`, ends its side, and resolves with everything that came back. */
export async function exchange(port: number, bytes: Buffer, through?: { readonly host: string; readonly port: number }): Promise<Buffer> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  await once(socket, 'connect');
  if (through !== undefined) await socks5(socket, through);
  socket.end(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** RFC 1928, no authentication, CONNECT to an IPv4 address. */
async function socks5(socket: Socket, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  const take = async (length: number): Promise<Buffer> => {
    for (;;) {
      const bytes = socket.read(length) as Buffer | null;
      if (bytes !== null) return bytes;
      await once(socket, 'readable');
    }
  };
  socket.write(Buffer.from([5, 1, 0]));
  if (!(await take(2)).equals(Buffer.from([5, 0]))) throw new Error('SOCKS: another method');
  socket.write(Buffer.from([5, 1, 0, 1, ...host.split('.').map(Number), port >> 8, port & 0xff]));
  const answer = await take(10);
  if (answer[1] !== 0) throw new Error(`SOCKS: ${answer[1]}`);
}

/**
 * Calls the viewer as the `steno` command does, in this process: a command costs half a second of CPU, and a test that waits for a
 * state asks ten times a second. Lists have the newest 200 rows.
 */
export interface Viewer {
  sessions(query?: Query<typeof listSessions>): Promise<readonly SessionInfo[]>;
  audit(query?: Query<typeof listAudit>): Promise<readonly AuditRow[]>;
  /** The kernel events of a session to their current end, then the gaps. */
  events(id: string, query?: Pick<Query<typeof listKernelEvents>, 'kinds' | 'only'>): Promise<readonly KernelEventInfo[]>;
  /** The output of `steno export ID --format cast`. */
  cast(id: string): Promise<string>;
}

const ROWS = 200;
const EVENTS = 1000;

export function viewerOf(steno: Pick<Steno, 'env'>): Viewer {
  const client = openClient(openHome(steno.env));
  return {
    sessions: async (query) => (await call(client.viewer, listSessions, { query: { limit: ROWS, ...query } })).sessions,
    audit: async (query) => (await call(client.viewer, listAudit, { query: { limit: ROWS, ...query } })).rows,
    async events(id, query) {
      const all: KernelEventInfo[] = [];
      for (;;) {
        const after = all.at(-1)?.place;
        const { events, gaps, more } = await call(client.viewer, listKernelEvents, {
          params: { id },
          query: { limit: EVENTS, ...(after === undefined ? {} : { after }), ...query },
        });
        all.push(...events);
        if (!more || events.length === 0) return [...all, ...gaps];
      }
    },
    cast: async (id) => text(await client.stream(`/api/sessions/${id}/export?format=cast`)),
  };
}

/** The verdict of `steno verify ID`, in this process: on the recording and, if it names an event log that is not whole, on that. */
export async function verdictOf(steno: Pick<Steno, 'env'>, id: string): Promise<Verdict> {
  const client = openClient(openHome(steno.env));
  const verify = await openVerifier(client.profile.recording_ca, (header) => new KeyframeCheck(header));
  const fetched = async (format: 'cast.zst' | 'events.zst'): Promise<Buffer> => buffer(await client.stream(exportOf(id, format)));
  const verdict = verify(await fetched('cast.zst'));
  if (!verdict.ok) return verdict;
  const log = await untilFinished(
    async () => verifyEventLog(verdict, await fetched('events.zst').catch(noneThere), verify),
    isUnfinished,
    logPatience(verdict.checkpoint.time, Date.now()),
  );
  return log === null || log.ok ? verdict : log;
}

export const isOver = ({ state }: SessionInfo): boolean => state === 'ended' || state === 'sealed';

/** Runs `act` and resolves with its sessions, oldest first, once there are `count` and all are over. */
export async function sessionsOf(viewer: Viewer, count: number, act: () => Promise<void>): Promise<readonly SessionInfo[]> {
  const before = new Set((await viewer.sessions()).map(({ id }) => id));
  await act();
  const fresh = async (): Promise<readonly SessionInfo[]> => (await viewer.sessions()).filter(({ id }) => !before.has(id)).reverse();
  return eventually(fresh, (rows) => rows.length >= count && rows.every(isOver));
}

export async function must(result: Promise<Result>): Promise<Result> {
  const { status, stdout, stderr } = await result;
  if (status !== 0) throw new Error(`status ${status}\n${stdout}\n${stderr}`);
  return { status, stdout, stderr };
}

/** Runs git in `cwd` with ssh as the user has it. Rejects if git fails. */
export function git(steno: Steno, cwd: string, ...args: readonly string[]): Promise<Result> {
  const settings = ['user.name=e2e', 'user.email=e2e@example.invalid', 'init.defaultBranch=main'].flatMap((setting) => ['-c', setting]);
  return must(steno.exec('git', ['-C', cwd, ...settings, ...args], { env: { GIT_SSH_COMMAND: `ssh -F ${steno.config}` } }));
}

/** An `ssh_config` with the user's key and certificate and nothing about hosts, for clients that name the gateway themselves. */
export function plainSshConfig(steno: Steno): string {
  const home = join(steno.folder, 'home');
  return [
    `IdentityFile ${home}/id_ed25519`,
    `CertificateFile ${home}/id_ed25519-cert.pub`,
    'IdentitiesOnly yes',
    `UserKnownHostsFile ${home}/known_hosts`,
    'StrictHostKeyChecking yes',
    'BatchMode yes',
    '',
  ].join('\n');
}

/** Where the gateway listens, and its plain host key for clients that know no host certificates. */
export async function gatewayOf(
  steno: Steno,
): Promise<{ readonly host: string; readonly port: string; readonly hostKey: string; readonly fingerprint: string }> {
  const [host, port] = steno.run.ssh.split(':') as [string, string];
  const { stdout } = await must(steno.exec('ssh-keyscan', ['-t', 'ed25519', '-p', port, host]));
  const hostKey = stdout
    .split('\n')
    .find((line) => line.includes('ssh-ed25519'))!
    .split(' ')
    .slice(1, 3)
    .join(' ');
  const printed = await must(steno.exec('ssh-keygen', ['-lf', '-'], { input: `${hostKey}\n` }));
  return { host, port, hostKey, fingerprint: printed.stdout.split(' ')[1]! };
}

/** Converts the user's key for PuTTY. Returns plink's options. */
export async function puttyKey(steno: Steno): Promise<readonly string[]> {
  const home = join(steno.folder, 'home');
  const key = join(steno.folder, 'user.ppk');
  await must(steno.exec('puttygen', [join(home, 'id_ed25519'), '-O', 'private', '-o', key]));
  return ['-batch', '-noagent', '-i', key, '-cert', join(home, 'id_ed25519-cert.pub')];
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}
