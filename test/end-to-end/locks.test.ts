/** Locks: every kind of target, against every kind of live session, with stock clients. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { freePort } from '#runtime/http/free-port.js';
import { createSignInLink } from '#schemas/api/people/web-sessions.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import type { LockEffects, LockRecord } from '#schemas/api/access/locks.js';
import type { Lock } from '#schemas/documents/lock.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { AuditRow } from '#schemas/events/rows.js';
import type { Ca } from '../../authority/ca/ca.js';
import { viewerOf } from './client-tools.js';
import type { Viewer } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { TestAccount } from './test-account.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';

const steno = new Steno();
let viewer: Viewer;
let ca: Ca;
let mallory: Person;
let lena: Person;
let request: AccessRequest;
const account = new TestAccount();
const target = (): string => `${account.name}@local.steno`;

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  viewer = viewerOf(steno);
  const file = join(steno.folder, 'roles.yaml');
  writeFileSync(
    file,
    `
kind: role
name: visitor
allow: { nodes: { "*": "*" }, logins: ["${account.name}"], request: [{ roles: [extra] }] }
---
kind: role
name: extra
allow: { nodes: { "*": "*" }, logins: ["extra"] }
---
kind: role
name: lead
allow: { approve: [{ roles: [extra] }] }
view: all
`,
  );
  await steno.steno('apply', '-f', file);
  for (const [name, role] of [
    ['mallory', 'visitor'],
    ['lena', 'lead'],
  ] as const)
    await steno.steno('users', 'add', name, '--roles', role);
  ca = await openAuthorities(steno);
  lena = await person(steno, ca, 'lena', ['lead'], ['-steno-none']);
  const first = await person(steno, ca, 'mallory', ['visitor'], [account.name]);
  request = await first.json<AccessRequest>('request', 'create', '--role', 'extra', '--reason', 'to be locked');
  await lena.steno('request', 'approve', request.id);
  mallory = await person(steno, ca, 'mallory', ['visitor'], [account.name], { mfa: 'key-1', requests: [request.id] });
});
afterAll(async () => {
  await steno.dispose();
  account.remove();
});

/** An activity through the gateway. */
interface Live {
  readonly kind: string;
  /** Resolves when the activity is over, with the text that its user saw. */
  readonly over: Promise<string>;
}

async function shell(): Promise<Live> {
  const terminal = mallory.terminal('-tt', target());
  terminal.write('echo rea""dy\r');
  await terminal.until(/ready/);
  return { kind: 'shell', over: terminal.ended.then(() => terminal.text()) };
}

/** A program that prints when it is ready, and then runs until it is ended. */
async function running(kind: string, command: string, args: readonly string[], ready: RegExp, input?: string): Promise<Live> {
  const child = spawn(command, args, { env: mallory.env, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined);
  if (input !== undefined) child.stdin.write(input);
  let said = '';
  const over = once(child, 'close').then(() => said);
  await new Promise<void>((resolve, reject) => {
    const take = (chunk: Buffer): void => {
      said += chunk.toString();
      if (ready.test(said)) resolve();
      // sftp notices that its connection is gone only at the next command.
      if (said.includes('[LOCKED]')) child.stdin.end();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('close', () => reject(new Error(`${kind} is over: ${said}`)));
  });
  return { kind, over };
}

const exec = (): Promise<Live> => running('exec', 'ssh', ['-F', mallory.config, target(), 'echo ready; exec sleep 1000'], /ready/);
const sftp = (): Promise<Live> => running('sftp', 'sftp', ['-F', mallory.config, target()], /working directory/i, 'pwd\n');

async function forward(): Promise<Live> {
  const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket)).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const port = await freePort();
  const tunnel = await running(
    'forward',
    'ssh',
    [
      '-F',
      mallory.config,
      '-v',
      '-N',
      '-o',
      'ExitOnForwardFailure=yes',
      '-L',
      `127.0.0.1:${port}:127.0.0.1:${(echo.address() as AddressInfo).port}`,
      target(),
    ],
    /Entering interactive session/,
  );
  const socket = connect(port, '127.0.0.1');
  socket.write('ready');
  await once(socket, 'data');
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()).on('error', () => undefined));
  return {
    kind: 'forward',
    over: Promise.all([tunnel.over, closed]).then(([said]) => {
      echo.close();
      return said;
    }),
  };
}

/** A master connection that runs a command. */
async function master(): Promise<Live> {
  const path = join(steno.folder, `m${Date.now() % 1_000_000}`);
  const main = await running(
    'master',
    'ssh',
    ['-F', mallory.config, '-v', '-M', '-N', '-S', path, target()],
    /Entering interactive session/,
  );
  const inner = await running('inner', 'ssh', ['-F', mallory.config, '-S', path, target(), 'echo ready; exec sleep 1000'], /ready/);
  return { kind: 'master', over: Promise.all([main.over, inner.over]).then((said) => said.join('\n')) };
}

const liveSessions = async (): Promise<readonly SessionInfo[]> =>
  (await viewer.sessions()).filter(({ state, user }) => state === 'live' && user === 'mallory');

describe('a lock on', () => {
  const targets: readonly (readonly [Lock['target_kind'], () => string])[] = [
    ['user', () => 'mallory'],
    ['role', () => 'visitor'],
    ['role', () => 'extra'],
    ['login', () => account.name],
    ['node', () => 'local'],
    ['request', () => request.id],
    ['mfa-device', () => 'key-1'],
  ];
  it.each(targets)('%s ends shells, commands, file transfers, forwardings and masters, and tells the reason', async (kind, name) => {
    const live = await Promise.all([shell(), exec(), sftp(), forward(), master()]);
    await eventually(liveSessions, (sessions) => sessions.length >= 5);
    const lock = await steno.json<Lock & { effects: LockEffects }>('lock', `--${kind}`, name(), '--ttl', '1h', '--reason', 'stolen laptop');
    expect(lock.effects.gateways).toEqual(lock.effects.applied.map(({ gateway }) => gateway));
    expect(lock.effects.applied[0]!.connections).toBeGreaterThanOrEqual(5);
    const said = await Promise.all(live.map(({ over }) => over));
    // A terminal or a command shows the reason on its channel; an idle connection gets it in its disconnect message.
    for (const [i, words] of said.entries()) expect(words, live[i]!.kind).toMatch(/stolen laptop/);
    const refused = await mallory.ssh(target(), 'true');
    expect(refused.status).toBe(255);
    expect(refused.stderr).toContain('[LOCKED]');
    expect(await steno.json<LockRecord[]>('locks')).toMatchObject([
      { id: lock.id, target_kind: kind, created_by: steno.login, reason: 'stolen laptop' },
    ]);
    const rows = await eventually(
      async () => (await viewer.audit()).filter(({ event }) => event === 'lock.enforced'),
      (found) => found.some((row) => row.target === lock.id),
    );
    const count = JSON.parse(rows.find((row) => row.target === lock.id)!.data) as { connections: number; sessions: number };
    expect(count.connections).toBeGreaterThanOrEqual(5);
    expect(count.sessions).toBeGreaterThanOrEqual(5);
    expect((await steno.steno('unlock', lock.id)).status).toBe(0);
    await eventually(
      () => mallory.ssh(target(), 'true'),
      ({ status }) => status === 0,
    );
  });

  it('one session ends only that session, and its connection stays open', async () => {
    const path = join(steno.folder, 'mx');
    const main = await running(
      'master',
      'ssh',
      ['-F', mallory.config, '-v', '-M', '-N', '-S', path, target()],
      /Entering interactive session/,
    );
    const before = new Set((await liveSessions()).map(({ id }) => id));
    const [one, other] = [
      await running('one', 'ssh', ['-F', mallory.config, '-S', path, target(), 'echo ready; exec sleep 1001'], /ready/),
      await running('other', 'ssh', ['-F', mallory.config, '-S', path, target(), 'echo ready; read x; echo still $x'], /ready/),
    ];
    const [found] = await eventually(liveSessions, (sessions) =>
      sessions.some(({ id, command }) => !before.has(id) && command.includes('1001')),
    ).then((sessions) => sessions.filter(({ command }) => command.includes('1001')));
    const lock = await steno.json<Lock>('lock', '--session', found!.id, '--reason', 'this one');
    expect(await one.over).toContain('this one');
    expect((await mallory.ssh('-S', path, target(), 'echo', 'goes on')).stdout).toBe('goes on\n');
    await steno.steno('unlock', lock.id);
    await mallory.ssh('-S', path, '-O', 'exit', target());
    await Promise.all([main.over, other.over]);
  });
});

describe('a locked user', () => {
  it('cannot call, and is told why; administrators cannot lock themselves out', async () => {
    const lock = await steno.json<Lock>('lock', '--user', 'mallory', '--reason', 'off-boarded');
    expect((await mallory.steno('nodes')).stderr).toContain('off-boarded');
    expect((await mallory.steno('sessions')).stderr).toContain('[LOCKED]');
    await steno.steno('unlock', lock.id);
    for (const own of [
      ['--user', steno.login],
      ['--role', 'admin'],
    ])
      expect((await steno.steno('lock', ...own)).stderr).toContain('lock out the user who sets it');
    expect((await steno.steno('lock')).stderr).toContain('exactly one');
    expect((await steno.steno('lock', '--user', 'a', '--role', 'b')).stderr).toContain('exactly one');
  });

  it('no longer follows a live session in the browser, and their web session is over', async () => {
    const watched = await shell();
    const [session] = await eventually(liveSessions, (sessions) => sessions.length > 0);
    const { url_token: token } = await ownCall();
    const web = steno.run.web;
    const signIn = await fetch(`${web}/api/sign-in`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: web },
      body: JSON.stringify({ token }),
    });
    const cookie = signIn.headers.get('set-cookie')!.split(';')[0]!;
    const follower = new WebSocket(`${web.replace('http', 'ws')}/api/sessions/${session!.id}/live?after=0`, {
      headers: { cookie, origin: web },
    });
    await once(follower, 'open');
    const closed = once(follower, 'close') as Promise<[number]>;
    const lock = await steno.json<Lock>('lock', '--user', 'lena');
    const [code, why] = (await closed) as unknown as [number, Buffer];
    expect([code, why.toString()]).toEqual([4401, 'you are no longer signed in']);
    expect((await fetch(`${web}/api/me`, { headers: { cookie } })).status).toBe(403);
    await steno.steno('unlock', lock.id);
    const other = await steno.json<Lock>('lock', '--session', session!.id);
    await watched.over;
    await steno.steno('unlock', other.id);
  });
});

it('a frozen session stays open, and its input reaches no program until it is unfrozen', async () => {
  const shells = async () => (await liveSessions()).filter(({ kind }) => kind === 'shell');
  // Sessions that have just ended may still be listed as live.
  const earlier = new Set((await shells()).map(({ id }) => id));
  const terminal = mallory.terminal('-tt', target());
  terminal.write('echo rea""dy\r');
  await terminal.until(/ready/);
  const ours = (all: readonly SessionInfo[]): SessionInfo[] => all.filter(({ id }) => !earlier.has(id));
  const { id } = ours(await eventually(shells, (all) => ours(all).length === 1))[0]!;
  const refused = await mallory.steno('sessions', 'freeze', id).catch((error: unknown) => error);
  expect(JSON.stringify(refused) + String(refused)).toContain('ACCESS_DENIED');
  expect(await steno.steno('sessions', 'freeze', id, '--reason', 'incident 7')).toMatchObject({ status: 0, stderr: '' });
  await terminal.until(/this session is frozen.*incident 7/);
  terminal.write('echo fro""zen\r');
  expect(await steno.steno('sessions', 'unfreeze', id)).toMatchObject({ status: 0, stderr: '' });
  await terminal.until(/no longer frozen/);
  terminal.write('echo tha""wed\r');
  await terminal.until(/thawed/);
  expect(terminal.text()).not.toContain('\nfrozen');
  await steno.steno('sessions', 'end', id, '--reason', 'incident 7');
  await terminal.ended;
  expect(terminal.text()).toMatch(/LOCKED/);
  const rows = await eventually(
    () => steno.json<AuditRow[]>('audit', '--event', 'session.', '--limit', '100'),
    (audit) => audit.some(({ event, session }) => event === 'session.ended' && session === id),
  );
  // The analyzer writes its own mark when it has seen the end, before or after this query.
  const ofSession = rows.filter(({ session, event }) => session === id && event !== 'session.analyzed').map(({ event }) => event);
  expect(new Set(ofSession)).toEqual(new Set(['session.frozen', 'session.unfrozen', 'session.ended']));
});

it('a lock that an authority committed before it died is in force once the authority is back', async () => {
  const live = await shell();
  const pid = (JSON.parse(readFileSync(join(steno.data, 'run.json'), 'utf8')) as { processes: { authority: number } }).processes.authority;
  process.kill(pid, 'SIGKILL');
  // The state after the commit and before any notification.
  const state = new Database(join(steno.data, 'authority', 'state.sqlite'), { timeout: 5_000 });
  state
    .prepare(
      "INSERT INTO locks (id, target_kind, target, reason, created_by, created_at, expires_at) VALUES ('left', 'user', 'mallory', 'left behind', 'root', 1, NULL)",
    )
    .run();
  state.close();
  expect(await live.over).toContain('left behind');
  await eventually(
    () => steno.steno('unlock', 'left'),
    ({ status }) => status === 0,
  );
});

/** A sign-in link for lena, by a call that she signs. */
async function ownCall(): Promise<{ readonly url_token: string }> {
  const { openClient } = await import('../../cli/client/client.js');
  const { openHome } = await import('../../cli/client/home.js');
  return call(openClient(openHome(lena.env)).authority, createSignInLink, {});
}
