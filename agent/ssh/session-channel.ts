/**
 * One session channel of the node: a shell, a command or a subsystem, with or without a terminal (RFC 4254, 6).
 *
 *     open ──pty-req──► open ──shell | exec | subsystem──► running ──exit──► draining ──output sent──► closed
 *                                                            └── channel gone: SIGHUP to the process group
 *
 * Of the client's environment variables only `acceptedVariables` are accepted, as by sshd's AcceptEnv on Debian. Terminal
 * modes of the client are applied before the program starts (modes.ts). Tested in test/agent/agent.test.ts and
 * test/agent/login.test.ts with stock clients.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readFileSync, readSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import * as pty from 'node-pty';
import type { PseudoTtyInfo, ServerChannel, Session } from 'ssh2';
import { StenoError } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';
import { isSize } from '#schemas/recording/line.js';
import type { Account } from '../login/account.js';
import { invocation } from '../login/invocation.js';
import type { Invocation, Variables } from '../login/invocation.js';
import { guarded } from './boundary.js';
import { recordLogin } from '../login/logins.js';
import { decodeModes, sttyWords } from './modes.js';
import { ChannelWatch } from '../kernel/channel-watch.js';
import type { KernelRecorder } from '../kernel/kernel-recorder.js';

const acceptedVariables = /^(LANG|LC_[A-Z]+|COLORTERM|NO_COLOR|TZ|GIT_PROTOCOL)$/;
const MAX_VARIABLES = 64;
/** MAX_ARG_STRLEN of Linux in bytes, without the NUL. sshd accepts longer commands but cannot run them either. */
const MAX_COMMAND = (128 << 10) - 1;
const sftpServers = [
  '/usr/lib/openssh/sftp-server',
  '/usr/libexec/openssh/sftp-server',
  '/usr/libexec/sftp-server',
  '/usr/lib/ssh/sftp-server',
];

export interface ChannelContext {
  readonly account: Account;
  readonly log: Log;
  /** Null: no kernel events are recorded here. */
  readonly kernel: KernelRecorder | null;
  /** Path of the forwarded agent's socket, once the client requested it. */
  agentSocket(): string | undefined;
  /** Resolves once every forwarding requested so far is answered; null if all are. Never rejects. */
  forwardingsAnswered(): Promise<void> | null;
  /** Value of `SSH_CONNECTION` as in sshd(8). */
  readonly connection: string;
}

interface Terminal {
  readonly type: string;
  readonly cols: number;
  readonly rows: number;
  readonly modes: readonly (readonly string[])[];
}

interface Running {
  signal(name: string): void;
  resize(cols: number, rows: number): void;
  hangUp(): void;
}

export function serveSession(session: Session, context: ChannelContext): void {
  const variables = new Map<string, string>();
  const watch = new ChannelWatch(context.kernel, context.log);
  let terminal: Terminal | undefined;
  let running: Running | undefined;
  let started = false;

  session.on('env', (accept, reject, { key, val }) => {
    if (watch.takesVariable(key, val)) return accept?.();
    if (!acceptedVariables.test(key) || variables.size >= MAX_VARIABLES || val.length > 4096 || val.includes('\0')) return reject?.();
    variables.set(key, val);
    accept?.();
  });
  // Patched ssh2 passes on requests that it does not know.
  (session as unknown as NodeJS.EventEmitter).on(
    'request',
    (
      accept: (() => void) | undefined,
      reject: (() => void) | undefined,
      { name, data }: { readonly name: string; readonly data: unknown },
    ) => (watch.takesRequest(name, data instanceof Uint8Array ? data : null) ? accept?.() : reject?.()),
  );
  // Patched ssh2 passes the modes unparsed.
  session.on('pty', (accept, reject, info: Omit<PseudoTtyInfo, 'modes'> & { readonly term?: string; readonly modes: Buffer }) => {
    if (started || terminal !== undefined) return reject?.();
    terminal = { type: terminalType(info.term), ...sizeOf(info.cols, info.rows), modes: sttyWords(decodeModes(info.modes)) };
    accept?.();
  });
  session.on('window-change', (accept, _reject, info) => {
    const size = sizeOf(info.cols, info.rows);
    if (terminal !== undefined) terminal = { ...terminal, ...size };
    running?.resize(size.cols, size.rows);
    accept?.();
  });
  session.on('signal', (accept, _reject, { name }) => {
    running?.signal(name);
    accept?.();
  });
  const start = (accept: () => ServerChannel, reject: () => void, make: (environment: Variables) => Invocation): void => {
    if (started) return reject();
    started = true;
    // Accept at once: ssh2 drops the input of a channel that is not accepted.
    const channel = accept();
    const answered = context.forwardingsAnswered();
    if (answered === null) return run(channel, make);
    // sshd answers requests in order, and `ssh -o ExitOnForwardFailure=yes` relies on it: if a short program ended before a
    // refused forwarding is answered, ssh would report success.
    channel.on('error', () => undefined);
    void answered.then(
      guarded(() => {
        if (!channel.destroyed) run(channel, make);
      }),
    );
  };
  const run = (channel: ServerChannel, make: (environment: Variables) => Invocation): void => {
    const agent = context.agentSocket();
    const environment = {
      client: Object.fromEntries(variables),
      own: {
        SSH_CONNECTION: context.connection,
        ...(agent === undefined ? {} : { SSH_AUTH_SOCK: agent }),
        ...(terminal === undefined ? {} : { TERM: terminal.type }),
      },
    };
    let what: Invocation | undefined;
    try {
      what = make(environment);
      running = terminal === undefined ? runPlain(channel, what, watch) : runTerminal(channel, what, terminal, watch, context);
    } catch (error) {
      what?.report?.read();
      context.log.warn({ err: error }, 'failed to start a program');
      const known = error instanceof StenoError ? error : new StenoError('NODE_REFUSED', 'the program cannot be started');
      channel.stderr.write(`steno: ${known.message} [${known.code}]\r\n`);
      channel.exit(255);
      channel.end();
      return;
    }
    const hangUp = running.hangUp.bind(running);
    channel.on('close', hangUp);
    channel.on('error', hangUp);
    channel.on('close', () => watch.end());
  };
  session.on('shell', (accept, reject) =>
    start(accept, reject, (environment) => invocation(context.account, null, environment, terminal?.modes)),
  );
  session.on('exec', (accept, reject, { command }) => {
    if (command.includes('\0')) return reject();
    start(accept, reject, (environment) => {
      const length = Buffer.byteLength(command);
      if (length > MAX_COMMAND) throw new StenoError('TOO_LARGE', `a command of ${length} bytes, of which Linux takes ${MAX_COMMAND}`);
      return invocation(context.account, command, environment, terminal?.modes);
    });
  });
  session.on('subsystem', (accept, reject, { name }) => {
    if (name !== 'sftp') return reject();
    start(accept, reject, (environment) => {
      const server = sftpServers.find((path) => existsSync(path));
      if (server === undefined) throw new StenoError('NODE_REFUSED', "this node has no sftp-server; install OpenSSH's");
      // As sshd does: run by the account's shell, which may refuse to run anything, or this in particular.
      return invocation(context.account, server, environment, terminal?.modes);
    });
  });
}

function runTerminal(
  channel: ServerChannel,
  what: Invocation,
  terminal: Terminal,
  watch: ChannelWatch,
  { account, connection }: ChannelContext,
): Running {
  const child = watch.spawn(channel, () =>
    pty.spawn(what.file, [...what.args], {
      name: terminal.type,
      cols: terminal.cols,
      rows: terminal.rows,
      cwd: what.cwd,
      env: { ...what.env },
      encoding: null,
    }),
  );
  const { _pty: device } = child as unknown as { readonly _pty?: string };
  if (device !== undefined) giveTerminal(device, account);
  const logOut =
    process.getuid!() !== 0 || device === undefined
      ? () => undefined
      : recordLogin(
          {
            pid: child.pid,
            line: device.replace(/^\/dev\//, ''),
            user: account.name,
            uid: account.uid,
            host: connection.split(' ')[0] ?? '',
          },
          Date.now,
        );
  let exit: { readonly exitCode: number; readonly signal?: number } | undefined;
  let drained = false;
  // The process may be reaped before its last output is read, or after.
  const finish = (): void => {
    if (exit === undefined || !drained) return;
    const { exitCode, signal } = exit;
    void watch.settle().then(guarded(() => endLogin(channel, what, exitCode, signal)));
  };
  let blocked = false;
  let lastData = 0;
  const take = (data: Buffer): void => {
    lastData = performance.now();
    if (channel.destroyed || channel.write(data) || blocked) return;
    blocked = true;
    reader.stop();
    channel.once('drain', () => {
      blocked = false;
      lastData = performance.now();
      reader.start();
    });
  };
  const reader = keepReading(child, { take, isBlocked: () => blocked && !channel.destroyed, lastData: () => lastData });
  child.onData((data) => take(data as unknown as Buffer));
  child.onExit(
    guarded((status) => {
      logOut();
      exit = status;
      finish();
    }),
  );
  // node-pty's typings omit the socket events that it passes on.
  (child as unknown as NodeJS.EventEmitter).on('close', () => {
    drained = true;
    finish();
  });
  channel.on('data', (data: Buffer) => child.write(data as unknown as string));
  return {
    signal: (name) => {
      // After reaping, the process number may belong to another process.
      if (exit === undefined) signalSession(child.pid, what, signalOf(name));
    },
    resize: (cols, rows) => kill(() => child.resize(cols, rows)),
    hangUp: () => {
      if (exit === undefined) signalSession(child.pid, what, 'SIGHUP');
    },
  };
}

/**
 * Gives the terminal to the user, as after any login: su(1) leaves it owned by root, and screen(1), for one, opens it by
 * name.
 */
function giveTerminal(device: string, { uid }: Account): void {
  if (process.getuid!() !== 0) return;
  try {
    // Keep its group (tty), so that write(1) works.
    chownSync(device, uid, statSync(device).gid);
    chmodSync(device, 0o620);
  } catch {
    // Already ended.
  }
}

interface PtyParts {
  readonly fd: number;
  readonly _socket: NodeJS.EventEmitter & {
    destroy: (error?: Error) => unknown;
    readonly _handle: { readStart(): void; readStop(): void } | null;
  };
}
const QUIET_MS = 100;

/**
 * Reads a terminal to its end however slow the client is. Three habits below would lose output:
 * - node-pty destroys its socket 200 ms after the program ended, read or not. The socket is kept while the client is
 *   behind and until the terminal has been quiet. (A program in the background may hold the terminal open for ever, so
 *   its end cannot be waited for.)
 * - `pause()` leaves what was read in the stream's buffer, and the EIO that ends a terminal throws that buffer away.
 *   So the stream flows all the time, and the descriptor below it is what stops.
 * - libuv takes a hangup after a short read for the end, but reads of a terminal are short (4 KiB) with 64 KiB waiting.
 *   So what is left is read from the descriptor itself before it is closed.
 */
function keepReading(
  child: pty.IPty,
  { take, isBlocked, lastData }: { take(data: Buffer): void; isBlocked(): boolean; lastData(): number },
): { start(): void; stop(): void } {
  const socket = (child as unknown as PtyParts)._socket;
  const { fd } = child as unknown as PtyParts;
  const destroy = socket.destroy.bind(socket);
  let drained = false;
  const drain = (): void => {
    if (drained) return;
    drained = true;
    const buffer = Buffer.alloc(64 << 10);
    try {
      for (let length = readSync(fd, buffer); length > 0; length = readSync(fd, buffer)) take(Buffer.from(buffer.subarray(0, length)));
    } catch {
      // EIO: the end. EAGAIN: a background program holds the terminal and has no output now.
    }
  };
  socket.prependListener('end', drain);
  socket.destroy = (error) => {
    const quiet = performance.now() - lastData();
    if (error === undefined && (isBlocked() || quiet < QUIET_MS) && !drained) {
      setTimeout(() => socket.destroy(), isBlocked() ? QUIET_MS : QUIET_MS - quiet);
      return socket;
    }
    if (error === undefined) drain();
    return destroy(error);
  };
  return { start: () => socket._handle?.readStart(), stop: () => socket._handle?.readStop() };
}

function runPlain(channel: ServerChannel, what: Invocation, watch: ChannelWatch): Running {
  const child: ChildProcessWithoutNullStreams = watch.spawn(channel, () =>
    spawn(what.file, [...what.args], { cwd: what.cwd, env: { ...what.env }, detached: true }),
  );
  let ended = false;
  const pump = (
    from: NodeJS.ReadableStream,
    to: { write(data: Buffer): boolean; once(event: 'drain', listener: () => void): unknown },
  ): void => {
    from.on('data', (data: Buffer) => {
      if (to.write(data)) return;
      from.pause();
      to.once('drain', () => from.resume());
    });
  };
  pump(child.stdout, channel);
  pump(child.stderr, channel.stderr);
  channel.pipe(child.stdin);
  // A program that closes its input early is no error of the session.
  child.stdin.on('error', () => channel.resume());
  child.on('error', () => {
    ended = true;
    what.report?.read();
    channel.stderr.write('steno: the program cannot be started [NODE_REFUSED]\n');
    endChannel(channel, 255, undefined);
  });
  child.on('exit', () => {
    ended = true;
  });
  // `close` comes after the last output was read.
  child.on('close', (code, signal) => {
    // Unread input would keep the channel from ever closing.
    channel.unpipe(child.stdin);
    channel.resume();
    void watch.settle().then(guarded(() => endLogin(channel, what, code ?? 0, signal === null ? undefined : constants.signals[signal])));
  });
  return {
    signal: (name) => {
      if (!ended && child.pid !== undefined) signalSession(child.pid, what, signalOf(name));
    },
    resize: () => undefined,
    hangUp: () => {
      child.stdout.destroy();
      child.stderr.destroy();
      if (!ended && child.pid !== undefined) signalSession(child.pid, what, 'SIGHUP');
    },
  };
}

/** Through su(1), a signal appears as status 128 or higher, and a refusal as 1. */
function endLogin(channel: ServerChannel, { report }: Invocation, code: number, signal: number | undefined): void {
  if (report === null) return endChannel(channel, code, signal);
  const told = report.read();
  if (told.kind === 'refused') {
    if (!channel.destroyed)
      channel.stderr.write(`steno: the node refuses this login${told.said === '' ? '' : `: ${told.said}`} [NODE_REFUSED]\r\n`);
    return endChannel(channel, 255, undefined);
  }
  endChannel(channel, code, told.signalled && code > 128 ? code - 128 : signal);
}

/**
 * Signals the session's programs. su(1) is their parent: it handles TERM, INT and QUIT itself and ends the session by force,
 * and an interactive shell has left its process group, so its children are signalled as well, or instead.
 */
function signalSession(pid: number, { report }: Invocation, signal: NodeJS.Signals): void {
  const own = report !== null && (signal === 'SIGTERM' || signal === 'SIGINT' || signal === 'SIGQUIT');
  const children = report === null ? [] : childrenOf(pid);
  for (const child of children) kill(() => process.kill(child, signal));
  if (!own || children.length === 0) kill(() => process.kill(-pid, signal));
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number)
      .filter((child) => child > 1);
  } catch {
    return [];
  }
}

function endChannel(channel: ServerChannel, code: number, signal: number | undefined): void {
  if (channel.destroyed) return;
  const name = signal === undefined || signal === 0 ? undefined : signalNames.get(signal);
  if (name === undefined) channel.exit(code);
  else channel.exit(name, false, '');
  channel.end();
}

const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name.replace(/^SIG/, '')]));

function signalOf(name: string): NodeJS.Signals {
  const full = name.startsWith('SIG') ? name : `SIG${name}`;
  return full in constants.signals ? (full as NodeJS.Signals) : 'SIGTERM';
}

function kill(send: () => void): void {
  try {
    send();
  } catch {
    // Already gone.
  }
}

function terminalType(term: string | undefined): string {
  return term !== undefined && /^[A-Za-z0-9+_.-]{1,64}$/.test(term) ? term : 'xterm';
}

function sizeOf(cols: number | undefined, rows: number | undefined): { readonly cols: number; readonly rows: number } {
  return { cols: isSize(cols) ? cols : 80, rows: isSize(rows) ? rows : 24 };
}
