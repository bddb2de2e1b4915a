/** A gateway with two workers behind one port behaves like one gateway. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, createServer, get } from 'node:https';
import type { Server } from 'node:https';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { Lock } from '#schemas/documents/lock.js';
import { isOver, must, viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';
import type { Terminal } from './machine.js';
import { openAuthorities, person } from './people.js';

const steno = new Steno();
const target = `${steno.login}@local.steno`;
const workers = ['local', 'local-w2'];

beforeAll(async () => {
  await steno.start('--workers', '2', '--kube-listen', '127.0.0.1:0');
  await must(steno.steno('login', '--data', steno.data));
}, 90_000);
afterAll(() => steno.dispose());

/** The pid of a worker, from the gateway's log. */
function processOf(worker: string): number {
  const log = readFileSync(join(steno.data, 'logs', 'gateway.log'), 'utf8');
  return Number([...log.matchAll(new RegExp(`"worker":"${worker}","process":(\\d+)`, 'g'))].at(-1)![1]);
}

/** Opens a shell at each worker. */
async function shells(): Promise<ReadonlyMap<string, { readonly terminal: Terminal; readonly session: SessionInfo }>> {
  const found = new Map<string, { terminal: Terminal; session: SessionInfo }>();
  for (const word of ['first', 'second']) {
    const terminal = steno.terminal('ssh', ['-F', steno.config, '-tt', target]);
    await terminal.until(/[$#] $/);
    terminal.write(`echo ${word}-$((20 + 3))\r`);
    await terminal.until(new RegExp(`${word}-23`));
    const known = new Set([...found.values()].map(({ session }) => session.id));
    const rows = await eventually(
      () => viewerOf(steno).sessions(),
      (all) => all.some(({ id, tty, live }) => tty && live !== undefined && !known.has(id)),
    );
    const session = rows.find(({ id, tty, live }) => tty && live !== undefined && !known.has(id))!;
    found.set(session.gateway, { terminal, session });
  }
  expect([...found.keys()].sort()).toEqual(workers);
  return found;
}

const rowOf = async (session: string): Promise<SessionInfo> => (await viewerOf(steno).sessions()).find(({ id }) => id === session)!;

/** Retries, because the event log is stored shortly after the recording. */
async function verified(session: string): Promise<void> {
  const { stderr } = await eventually(
    () => steno.steno('verify', session),
    ({ status }) => status === 0,
  );
  expect(stderr).toBe('');
}

async function leave(all: Awaited<ReturnType<typeof shells>>): Promise<void> {
  for (const { terminal } of all.values()) terminal.write('exit\r');
  await Promise.all([...all.values()].map(({ terminal }) => terminal.ended));
}

it('spreads sessions over its workers, and every recording is whole', async () => {
  const said = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => steno.ssh(target, `echo said-${n}`)));
  expect(said.map(({ stdout }) => stdout)).toEqual([1, 2, 3, 4, 5, 6].map((n) => `said-${n}\n`));
  const rows = await eventually(
    () => viewerOf(steno).sessions(),
    (all) => all.length === 6 && all.every(isOver),
  );
  expect([...new Set(rows.map(({ gateway }) => gateway))].sort()).toEqual(workers);
  for (const { id, command } of rows) {
    expect(await viewerOf(steno).cast(id)).toContain(command!.replace('echo ', ''));
    await verified(id);
  }
}, 90_000);

it('a lock ends sessions of every worker', async () => {
  const all = await shells();
  const lock = await steno.json<Lock>('lock', '--node', 'local', '--reason', 'maintenance');
  await Promise.all([...all.values()].map(({ terminal }) => terminal.until(/maintenance/)));
  await Promise.all([...all.values()].map(({ terminal }) => terminal.ended));
  await must(steno.steno('unlock', lock.id));
}, 60_000);

it('a join reaches a session from either worker', async () => {
  const role = join(steno.folder, 'helper.json');
  const sessions = [{ actions: ['list', 'join'], modes: ['peer'] }];
  writeFileSync(role, JSON.stringify({ kind: 'role', name: 'helper', view: 'none', allow: { sessions } }));
  await must(steno.steno('apply', '-f', role));
  await must(steno.steno('users', 'add', 'bob', '--roles', 'helper'));
  const bob = await person(steno, await openAuthorities(steno), 'bob', ['helper'], ['nobody']);
  const all = await shells();
  for (const { terminal, session } of all.values()) {
    // The second connection goes to the worker with fewer connections, the other one.
    const joined = [];
    for (const word of ['one', 'two']) {
      const one = steno.terminal(process.execPath, [bin, 'join', session.id, '--mode', 'peer'], undefined, { STENO_HOME: bob.home });
      await one.until(/you type into/);
      one.write(`echo ${word}-$((20 + 3))\r`);
      await terminal.until(new RegExp(`${word}-23`));
      joined.push(one);
    }
    for (const one of joined) {
      one.write('\u001dq');
      expect(await one.ended).toBe(0);
    }
  }
  await leave(all);
}, 90_000);

describe('clients of Kubernetes', () => {
  let upstream: Server;
  const asked: string[] = [];
  afterAll(() => {
    upstream?.closeAllConnections();
    upstream?.close();
  });

  beforeAll(async () => {
    const file = (name: string): string => join(steno.folder, name);
    const self = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1'];
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', file('api.key'), '-out', file('api.pem')];
    execFileSync('openssl', [...self, ...names], { stdio: 'ignore' });
    upstream = createServer({ key: readFileSync(file('api.key')), cert: readFileSync(file('api.pem')) }, (request, response) => {
      asked.push(`${request.url} as ${request.headers['impersonate-user'] as string}`);
      response.setHeader('content-type', 'application/json').end('{"kind":"APIVersions"}');
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const ca = readFileSync(file('api.pem')).toString('base64');
    const server = `https://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    const one = <T>(name: string, key: string, value: T): object[] => [{ name, [key]: value }];
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'east' },
      clusters: one('east', 'cluster', { server, 'certificate-authority-data': ca }),
      users: one('east', 'user', { token: 'secret' }),
      contexts: one('east', 'context', { cluster: 'east', user: 'east' }),
    };
    writeFileSync(file('kubeconfig'), JSON.stringify(config));
    const role = { kind: 'role', name: 'kube', allow: { kubernetes: [{ groups: ['system:masters'] }] } };
    writeFileSync(file('kube.json'), JSON.stringify(role));
    await must(steno.steno('apply', '-f', file('kube.json')));
    await must(steno.steno('users', 'edit', steno.login, '--roles', 'admin,kube'));
    await must(steno.steno('login', '--data', steno.data));
    await must(steno.steno('kube', 'add', 'east', '--kubeconfig', file('kubeconfig')));
    await must(steno.steno('kube', 'login', 'east'));
  }, 60_000);

  it('are served by every worker, each over a connection of its own', async () => {
    interface Written {
      readonly clusters: readonly { readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string } }[];
    }
    const { cluster } = (parse(readFileSync(join(steno.folder, '.kube', 'config'), 'utf8')) as Written).clusters[0]!;
    const [cert, key] = ['tls.pem', 'tls.key'].map((name) => readFileSync(join(steno.folder, 'home', name)));
    const ca = Buffer.from(cluster['certificate-authority-data'], 'base64');
    // Two connections stay open, so each worker has one.
    const agents = [1, 2].map(() => new Agent({ ca, cert, key, servername: KUBE_SERVER_NAME, keepAlive: true, maxSockets: 1 }));
    for (const agent of [...agents, ...agents]) {
      const request = get(`${cluster.server}/api`, { agent });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      expect([response.statusCode, await text(response)]).toEqual([200, '{"kind":"APIVersions"}']);
    }
    for (const agent of agents) agent.destroy();
    expect(asked).toEqual(Array.from({ length: 4 }, () => `/api as steno:${steno.login}`));
  }, 60_000);
});

describe('an address', () => {
  const sockets = new Set<Socket>();
  let greeted = 0;
  const silent = async (localAddress: string): Promise<Socket> => {
    const [host, port] = steno.run.ssh.split(':');
    const socket = connect({ host: host!, port: Number(port), localAddress });
    sockets.add(socket);
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  afterAll(() => sockets.forEach((socket) => socket.destroy()));

  it('has one stranger count across all workers', async () => {
    for (let n = 0; n < 30; n++) {
      const socket = await silent('127.0.7.1');
      socket.once('data', () => greeted++);
    }
    await expect.poll(() => greeted).toBe(20);
    // A later connection is greeted, so the others would have been greeted by now.
    await once(await silent('127.0.7.2'), 'data');
    await once(await silent('127.0.7.2'), 'data');
    expect(greeted).toBe(20);
    [...sockets].slice(0, 4).forEach((socket) => socket.destroy());
    await expect.poll(() => greeted).toBe(24);
  }, 60_000);
});

describe('kill -9', () => {
  it('of a worker ends only its own sessions, and their recordings are whole', async () => {
    const all = await shells();
    const [kept, lost] = [all.get('local')!, all.get('local-w2')!];
    const before = processOf('local-w2');
    process.kill(before, 'SIGKILL');
    await lost.terminal.ended;
    expect(lost.terminal.text()).toMatch(/closed|reset/i);
    kept.terminal.write('echo still-$((20 + 3))\r');
    await kept.terminal.until(/still-23/);
    await expect.poll(() => processOf('local-w2')).not.toBe(before);
    const row = await eventually(
      () => rowOf(lost.session.id),
      ({ state }) => state === 'interrupted',
    );
    expect(row.gateway).toBe('local-w2');
    await verified(lost.session.id);
    expect(await viewerOf(steno).cast(lost.session.id)).toMatch(/-23/);
    // A new worker serves in its place.
    const said = await Promise.all([1, 2, 3, 4].map((n) => steno.ssh(target, `echo again-${n}`)));
    expect(said.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
    kept.terminal.write('exit\r');
    expect(await kept.terminal.ended).toBe(0);
  }, 120_000);

  it('of the parent ends all sessions in order, and another parent takes over', async () => {
    const all = await shells();
    const before = workers.map(processOf);
    process.kill(steno.run.processes['gateway']!, 'SIGKILL');
    for (const { terminal } of all.values()) await terminal.until(/\[DRAINING\]/);
    await Promise.all([...all.values()].map(({ terminal }) => terminal.ended));
    await expect.poll(() => workers.map(processOf).every((pid) => !before.includes(pid))).toBe(true);
    await eventually(
      () => steno.ssh(target, 'echo back'),
      ({ stdout }) => stdout === 'back\n',
    );
    for (const { session } of all.values()) {
      await eventually(
        () => rowOf(session.id),
        (row) => isOver(row) || row.state === 'interrupted',
      );
      await verified(session.id);
    }
  }, 120_000);
});
