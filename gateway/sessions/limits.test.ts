import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import type { SessionLimits } from '#schemas/policy/node.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import { StenoError } from '#schemas/base/errors.js';
import { LimitTimer } from './limits.js';
import type { LimitClock } from './limits.js';
import { openWorld } from '../testing/harness.js';
import type { World } from '../testing/harness.js';

/** A clock that the test advances; timers run in order. */
class Clock implements LimitClock {
  time = 1_000_000_000;
  #timers: { readonly at: number; readonly call: () => void }[] = [];

  now(): number {
    return this.time;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.time + ms, call };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  pass(seconds: number): void {
    const until = this.time + seconds * 1000;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((one) => one !== next);
      this.time = Math.max(this.time, next.at);
      next.call();
    }
    this.time = until;
  }

  get waiting(): number {
    return this.#timers.length;
  }
}

const none: SessionLimits = { maxSessionLength: null, idleTimeout: null, maxSessions: null, disconnectExpiredCert: false, reconnect: null };

describe('a connection', () => {
  const start = (limits: Partial<SessionLimits>, certificateSeconds = 7200) => {
    const clock = new Clock();
    const told: string[] = [];
    const began = clock.time;
    const at = (): string => `${(clock.time - began) / 1000} s: `;
    const timer = new LimitTimer(clock.time + certificateSeconds * 1000, clock, {
      warn: (line) => told.push(at() + line),
      end: ({ code }) => told.push(at() + code),
    });
    timer.set({ ...none, ...limits });
    return { clock, told, timer, change: (more: Partial<SessionLimits>) => timer.set({ ...none, ...more }) };
  };

  it('without limits has no timer', () => {
    const { clock, told } = start({});
    clock.pass(1e6);
    expect([told, clock.waiting]).toEqual([[], 0]);
  });

  it('ends after the longest permitted time, with a warning one minute before', () => {
    const { clock, told } = start({ maxSessionLength: 7300 });
    clock.pass(10_000);
    expect(told).toEqual([
      '7240 s: this session has lasted as long as your roles allow, and ends in one minute',
      '7300 s: SESSION_TOO_LONG',
    ]);
  });

  it('ends when it is idle; activity postpones the end', () => {
    const { clock, told, timer } = start({ idleTimeout: 300 });
    clock.pass(200);
    timer.active();
    clock.pass(250);
    expect(told).toEqual(['440 s: this session is idle, and ends in one minute']);
    timer.active();
    clock.pass(1000);
    expect(told.slice(1)).toEqual(['690 s: this session is idle, and ends in one minute', '750 s: SESSION_IDLE']);
  });

  it('ends with its certificate if roles say so', () => {
    const { clock, told } = start({ disconnectExpiredCert: true, maxSessionLength: 9000 });
    clock.pass(10_000);
    expect(told).toEqual(['7140 s: your certificate expires, and this session ends in one minute', '7200 s: CERT_EXPIRED']);
  });

  it('follows changes of roles: longer, shorter, and already over', () => {
    const { clock, told, change } = start({ maxSessionLength: 300 });
    clock.pass(200);
    change({ maxSessionLength: 600 });
    clock.pass(200);
    expect(told).toEqual([]);
    change({ maxSessionLength: 420 });
    expect(told).toEqual(['400 s: this session has lasted as long as your roles allow, and ends in 20 s']);
    change({ maxSessionLength: 60 });
    expect(told.slice(1)).toEqual(['400 s: SESSION_TOO_LONG']);
    clock.pass(1000);
    expect(told).toHaveLength(2);
  });

  it('that has ended has no timer', () => {
    const { clock, timer } = start({ idleTimeout: 300 });
    timer.stop();
    expect(clock.waiting).toBe(0);
  });
});

describe('on a gateway', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(() => world.close());
  const usual = roleSchema.parse({ kind: 'role', name: 'admin', allow: { nodes: { '*': '*' }, logins: ['root', 'nobody', '*'] } });
  const change = (more: Partial<Role>): void => {
    world.authority.roles = [{ ...usual, ...more }];
    world.authority.changed();
  };
  beforeEach(() => change({}));

  /** A shell in a terminal, and its output. */
  function shell(): {
    readonly child: ChildProcess;
    until(text: string): Promise<void>;
    readonly seen: () => string;
    readonly ended: Promise<unknown>;
  } {
    const child = world.start('ssh', ['-tt', '-F', world.sshConfig, 'root@node-1.steno', 'stty -echo; echo rea""dy; cat'], {
      env: { TERM: 'xterm' },
    });
    let seen = '';
    child.stdout!.on('data', (data: Buffer) => {
      seen += data.toString('latin1');
    });
    return {
      child,
      seen: () => seen,
      ended: once(child, 'close'),
      until: async (text) => {
        while (!seen.includes(text)) await once(child.stdout!, 'data');
      },
    };
  }

  it('a session that lasted too long ends, with the reason on its terminal and in the audit', async () => {
    const { until, seen, ended } = shell();
    await until('ready');
    change({ max_session_length: 0.001 });
    await ended;
    expect(seen()).toContain('the session lasted as long as your roles allow');
    expect(world.recorder.audits.find(({ code }) => code === 'SESSION_TOO_LONG')).toMatchObject({
      event: 'session.ended',
      actor: 'alice',
      node: 'node-1',
      login: 'root',
    });
  });

  it('a warning is shown and recorded, and later output of the node arrives complete, however slow the reader is', async () => {
    const before = world.recorder.recordings().length;
    const child = world.start(
      'ssh',
      [
        '-tt',
        '-F',
        world.sshConfig,
        'root@node-1.steno',
        'stty -echo -onlcr; echo rea""dy; read go; head -c 6000000 /dev/zero | tr "\\0" x; echo; echo do""ne',
      ],
      { env: { TERM: 'xterm' } },
    );
    const shown: string[] = [];
    child.stdout!.on('data', (data: Buffer) => {
      shown.push(data.toString('latin1'));
    });
    const ended = once(child, 'close');
    while (!shown.join('').includes('ready')) await once(child.stdout!, 'data');
    // Counts as idle from now on, and the last minute has begun.
    change({ idle_timeout: 61 });
    while (!shown.join('').includes('ends in')) await once(child.stdout!, 'data');
    child.stdout!.pause();
    child.stdin!.write('go\r');
    // The window of a terminal is 1 MiB: the reader waits until it is nearly full.
    while (world.recorder.shown < 1_000_000) await new Promise((resolve) => setTimeout(resolve, 10));
    child.stdout!.resume();
    await ended;
    const all = shown.join('');
    expect(all).toMatch(/steno: this session is idle, and ends in/);
    expect(all.match(/x/g)!.length).toBe(6_000_000);
    expect(all).toContain('done');
    const [recording] = world.recorder.recordings().slice(before);
    expect(recording!.bytes('out').toString('latin1')).toContain('steno: this session is idle');
  });

  it('connections over the limit are refused with the reason; one that ends makes room', async () => {
    change({ max_sessions: 1 });
    const { child, until, ended } = shell();
    await until('ready');
    const refused = await world.run('ssh', ['-F', world.sshConfig, 'root@node-1.steno', 'echo hello']);
    expect(refused).toMatchObject({ status: 255, stderr: expect.stringContaining('1 at a time [SESSIONS_TOO_MANY]') });
    expect(world.recorder.audits.some(({ event, code }) => event === 'session.refused' && code === 'SESSIONS_TOO_MANY')).toBe(true);
    child.stdin!.end('\u0004');
    await ended;
    let again = await world.run('ssh', ['-F', world.sshConfig, 'root@node-1.steno', 'echo hello']);
    // The slot is free once the gateway has noticed the end.
    while (again.status === 255) again = await world.run('ssh', ['-F', world.sshConfig, 'root@node-1.steno', 'echo hello']);
    expect(again.stdout).toBe('hello\n');
  });

  it('without the authority, roles with a limit admit nobody, and other roles still do', async () => {
    world.authority.placed = async () => {
      throw new StenoError('NOT_RUNNING');
    };
    expect((await world.run('ssh', ['-F', world.sshConfig, 'root@node-1.steno', 'echo hello'])).stdout).toBe('hello\n');
    change({ max_sessions: 5 });
    const refused = await world.run('ssh', ['-F', world.sshConfig, 'root@node-1.steno', 'echo hello']);
    world.authority.placed = async () => true;
    expect(refused).toMatchObject({ status: 255, stderr: expect.stringContaining('[AUTHORITY_UNREACHABLE]') });
  });

  it('a forwarding that roles no longer permit ends, and the session continues', async () => {
    const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket)).listen(0, '127.0.0.1');
    await once(echo, 'listening');
    const local = await freePort();
    const child = world.start('ssh', [
      '-tt',
      '-L',
      `127.0.0.1:${local}:127.0.0.1:${(echo.address() as AddressInfo).port}`,
      '-F',
      world.sshConfig,
      'root@node-1.steno',
      'stty -echo; echo rea""dy; cat',
    ]);
    let seen = '';
    child.stdout!.on('data', (data: Buffer) => {
      seen += data.toString();
    });
    while (!seen.includes('ready')) await once(child.stdout!, 'data');
    const socket = connect(local, '127.0.0.1');
    socket.write('ping');
    expect(String((await once(socket, 'data'))[0])).toBe('ping');
    const closed = once(socket, 'close');
    change({ port_forwarding: false });
    await closed;
    const refused = connect(local, '127.0.0.1');
    await once(refused, 'close');
    child.stdin!.write('still here\r');
    while (!seen.includes('still here')) await once(child.stdout!, 'data');
    child.stdin!.end('\u0004');
    await once(child, 'close');
    echo.close();
  });
});
