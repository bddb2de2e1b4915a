/**
 * No error in one session ends the service. The tests throw an error at each use of the account, the log or the kernel
 * recorder in every handler, one use at a time, and check that another user's session continues.
 */
import { spawnSync } from 'node:child_process';
import { userInfo } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ORDER_VARIABLE } from '#schemas/kernel/orders.js';
import type { Log } from '#runtime/log.js';
import { findAccount } from '../../agent/login/account.js';
import type { Account } from '../../agent/login/account.js';
import type { KernelRecorder } from '../../agent/kernel/kernel-recorder.js';
import { silent } from '../../authority/testing/authority.js';
import { SshNode, until } from './ssh-node.js';

const login = userInfo().username;

describe('an error in a handler', () => {
  /** Number of the use of the account that throws; 0: none. */
  let failing = 0;
  let uses = 0;
  let threw = 0;
  const faults: string[] = [];
  const log = new Proxy(silent, {
    get: (target, name) =>
      name === 'error' || name === 'warn'
        ? (fields: { err?: Error }) => void faults.push(String(fields.err))
        : (Reflect.get(target, name) as unknown),
  }) as Log;
  const brittle = (account: Account): Account =>
    new Proxy(account, {
      get(target, name) {
        if (typeof name === 'string' && name !== 'then' && ++uses === failing) {
          threw += 1;
          throw new TypeError(`fault ${failing}`);
        }
        return Reflect.get(target, name) as unknown;
      },
    });
  let asked = 0;
  const kernel = {
    session: () => {
      asked += 1;
      throw new TypeError('a fault of the recorder');
    },
  } as unknown as KernelRecorder;
  const node = new SshNode();
  let healthy: ReturnType<SshNode['hold']>;
  let accounts: (name: string) => Promise<Account> = findAccount;
  beforeAll(async () => {
    await node.start({ log, kernel, accounts: (name) => accounts(name) });
    healthy = node.hold(login, 'echo ready; while read line; do echo "still $line"; done');
    await until(healthy, /ready/);
  });
  afterAll(async () => {
    healthy?.stdin.end();
    await node.dispose();
  });
  const goesOn = async (word: string): Promise<void> => {
    const heard = until(healthy, new RegExp(`still ${word}`));
    healthy.stdin.write(`${word}\n`);
    await heard;
  };

  const ways: readonly [what: string, args: readonly string[]][] = [
    ['a command', ['true']],
    ['a terminal', ['-tt', 'true']],
    ['sftp', ['-s', 'sftp']],
    ['a forwarding to a port', ['-W', '127.0.0.1:1', '']],
    ['forwardings back', ['-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:1', '-R', '127.0.0.1:80:127.0.0.1:1', 'true']],
  ];
  for (const [what, args] of ways) {
    it(`${what}: ends its own connection wherever it is thrown, and writes a log line`, async () => {
      accounts = async (name) => brittle(await findAccount(name));
      try {
        for (failing = 1; ; failing++) {
          uses = threw = 0;
          faults.length = 0;
          const { status } = await node.ssh(login, ...args);
          if (threw === 0) break;
          expect({
            failing,
            ended: status !== 0,
            logged: faults.filter((fault) => fault === `TypeError: fault ${failing}`).length,
          }).toEqual({ failing, ended: true, logged: 1 });
          await goesOn(`${what.replaceAll(' ', '-')}-${failing}`);
        }
        // Fewer uses would mean that nothing was tested.
        expect(failing).toBeGreaterThan(3);
      } finally {
        failing = 0;
        accounts = findAccount;
      }
    });
  }

  it('while looking the account up', async () => {
    accounts = () => Promise.reject(new TypeError('nobody expected this'));
    faults.length = 0;
    expect((await node.ssh(login, 'true')).status).toBe(255);
    expect(faults).toEqual(['TypeError: nobody expected this']);
    accounts = findAccount;
    await goesOn('lookup');
  });

  it('in the kernel recorder', async () => {
    const order = { session: '0'.repeat(26), mode: 'strict', classes: ['exec'], offset_ms: 0, error_ms: 0 };
    const { status, stdout } = await node.ssh(
      login,
      '-o',
      `SetEnv=${ORDER_VARIABLE}=${JSON.stringify(order).replaceAll('"', '\\"')}`,
      'echo in',
    );
    expect({ ended: status !== 0, stdout, asked }).toEqual({ ended: true, stdout: '', asked: 1 });
    await goesOn('kernel');
  });

  it('that is thrown later, by work that a connection started, is attributed to that connection; any other error ends the process', () => {
    const program = `
      import { EventEmitter } from 'node:events';
      import { createServer, connect } from 'node:net';
      import { spawn } from 'node:child_process';
      const { Boundary, containUncaught, guarded, outside } = await import(process.argv[1]);
      const ended = [];
      for (const event of ['uncaughtException', 'unhandledRejection']) process.on(event, (error) => {
        if (!containUncaught(error)) { console.log(JSON.stringify({ ended, fatal: error.message })); process.exit(70); }
      });
      const inside = (name, work) => new Promise((resolve) => {
        const emitter = new EventEmitter();
        const boundary = new Boundary({ error() {} }, {}, () => { ended.push(name); resolve(); });
        boundary.watch(emitter);
        emitter.on('go', () => work(boundary));
        emitter.emit('go');
      });
      const fail = () => { throw new Error('late'); };
      await inside('at once', fail);
      await inside('promise', () => Promise.reject(new Error('late')));
      await inside('timer', () => setTimeout(fail, 1));
      await inside('immediate', () => setImmediate(fail));
      await inside('tick', () => process.nextTick(fail));
      await inside('async', async () => { await null; fail(); });
      await inside('process', () => spawn('true').on('exit', fail));
      await inside('output', () => spawn('sh', ['-c', 'echo x']).stdout.on('data', fail));
      await inside('server', () => { const server = createServer(fail).listen(0, '127.0.0.1', () => connect(server.address().port, '127.0.0.1').on('error', () => undefined)); });
      await inside('dial', () => connect(1, '127.0.0.1').on('error', fail));
      let later;
      await Promise.all([inside('guarded', () => { later = guarded(fail); }), (async () => { await null; later(); })()]);
      inside('other', () => outside(() => setTimeout(fail, 1)));
    `;
    const boundary = new URL('../../dist/agent/ssh/boundary.js', import.meta.url).pathname;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program, boundary], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect({ status, stderr }, stderr).toEqual({ status: 70, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      ended: ['at once', 'promise', 'timer', 'immediate', 'tick', 'async', 'process', 'output', 'server', 'dial', 'guarded'],
      fatal: 'late',
    });
  });
});
