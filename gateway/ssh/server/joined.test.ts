/** Several people in one session, with stock `ssh`: participants see it, and only peers type into it. */
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';
import { joinAs, openRoles, person } from '../../testing/people.js';
import type { Person } from '../../testing/people.js';

let world: World;
beforeEach(async () => {
  world = await openWorld();
  world.authority.roles.push(...openRoles);
});
afterEach(() => world.close());

const owner = (command: string): Person => person(world.start('ssh', ['-F', world.sshConfig, '-tt', 'node-1', command]));

const join = (user: string, role: string, mode?: string, session?: string): Person => joinAs(world, user, role, mode, session);
const events = (): readonly string[] => world.recorder.audits.map(({ event }) => event);

it('an observer sees the current screen and later output; nothing that they send reaches the node', async () => {
  const alice = owner('echo ready; while read -r line; do echo "got:$line"; done');
  await alice.until('ready');
  const bob = join('bob', 'watcher');
  await bob.until('ready');
  await alice.until('steno: bob joined this session as observer');
  bob.type('rm -rf /\r\x1b[24;80R\x1b]11;rgb:0/0/0\x07');
  alice.type('hello\r');
  await alice.until('got:hello');
  await bob.until('got:hello');
  bob.type('q');
  expect(await bob.closed).toBe(0);
  await alice.until('bob left this session');
  alice.type('\u0004');
  await alice.closed;
  const recording = world.recorder.recordings()[0]!;
  expect(recording.bytes('in').toString()).toBe('hello\r\u0004');
  expect(
    recording.lines
      .filter(({ code }) => code === 'j')
      .map(({ data }) => [(data as { action: string }).action, (data as { mode: string }).mode]),
  ).toEqual([
    ['joined', 'owner'],
    ['joined', 'observer'],
    ['left', 'observer'],
  ]);
  expect(events()).toEqual(expect.arrayContaining(['session.joined', 'session.left']));
});

it('a peer types into the session, and the recording attributes the input', async () => {
  const alice = owner('echo ready; while read -r line; do echo "got:$line"; done');
  await alice.until('ready');
  const bob = join('bob', 'helper', 'peer');
  await bob.until('you type into');
  bob.type('from bob\r\x1b[24;80R\x1b[?1;2c');
  await alice.until('got:from bob');
  await bob.until('got:from bob');
  alice.type('from alice\r');
  await bob.until('got:from alice');
  bob.type('\x1dq');
  expect(await bob.closed).toBe(0);
  alice.type('\u0004');
  await alice.closed;
  const recording = world.recorder.recordings()[0]!;
  expect(recording.bytes('in').toString()).toBe('from bob\rfrom alice\r\u0004');
  expect(recording.facts('typist').map(({ user }) => user)).toEqual(expect.arrayContaining(['bob', 'alice']));
});

it("input from a peer beyond the node's window arrives complete, and the owner can still type", async () => {
  const alice = owner('stty raw -echo; echo ready; head -c 6000000 | tr -d x | wc -c; echo "rest:$(head -c 4)"');
  await alice.until('ready');
  const bob = join('bob', 'helper', 'peer');
  await bob.until('you type into');
  const chunk = 'x'.repeat(60_000);
  for (let sent = 0; sent < 6_000_000; sent += chunk.length) if (!bob.child.stdin!.write(chunk)) await once(bob.child.stdin!, 'drain');
  await alice.until('0');
  alice.type('tail');
  await alice.until('rest:tail');
  await alice.closed;
  expect(world.recorder.recordings()[0]!.bytes('in').length).toBe(6_000_004);
});

it('a moderator pauses, resumes and ends a session', async () => {
  const alice = owner('echo ready; while read -r line; do echo "got:$line"; done');
  await alice.until('ready');
  const carol = join('carol', 'helper', 'moderator');
  await carol.until('you moderate');
  carol.type('p');
  await alice.until('carol paused this session');
  // A snapshot in between changes nothing.
  world.authority.changed();
  alice.type('lost\r');
  await vi.waitUntil(() => world.recorder.recordings()[0]!.lines.some(({ code }) => code === 'g'));
  carol.type('r');
  await alice.until('carol resumed this session');
  alice.type('kept\r');
  await alice.until('got:kept');
  expect(alice.text()).not.toContain('got:lost');
  carol.type('t');
  await carol.until('press t again');
  carol.type('t');
  await alice.until('ENDED_BY_MODERATOR');
  await alice.closed;
  await carol.until('ENDED_BY_MODERATOR');
  await carol.closed;
  expect(events()).toEqual(expect.arrayContaining(['session.paused', 'session.resumed', 'session.ended']));
  expect(world.recorder.recordings()[0]!.facts('input_gate')).toMatchObject([
    { state: 'closed', by: 'carol' },
    { state: 'open', by: 'carol' },
  ]);
});

it.each([
  ['stranger', 'observer', 'SESSION_NOT_LIVE'],
  ['watcher', 'peer', 'ACCESS_DENIED'],
  ['watcher', 'moderator', 'ACCESS_DENIED'],
])('%s is refused as %s: %s', async (role, mode, code) => {
  const alice = owner('echo ready; read -r line');
  await alice.until('ready');
  const mallory = join('mallory', role, mode);
  await mallory.until(code);
  expect(await mallory.closed).toBe(255);
  expect(world.recorder.audits).toContainEqual(expect.objectContaining({ event: 'session.join_refused', code, actor: 'mallory' }));
  expect(alice.text()).not.toContain('mallory');
});

it('nobody can join a session that is not live, or their own', async () => {
  const alice = owner('echo ready; read -r line');
  await alice.until('ready');
  const unknown = join('bob', 'helper', 'observer', '01jdv3k5m8q2w7x9y4z6a0b1c2');
  await unknown.until('SESSION_NOT_LIVE');
  const own = join('alice', 'helper', 'observer');
  await own.until('this session is your own');
  await Promise.all([unknown.closed, own.closed]);
});

it.each([
  [
    'a lock on them',
    () => world.authority.locks.push({ id: 'l', target_kind: 'user', target: 'bob', reason: 'incident 7', expires_at: null }),
    'LOCKED',
  ],
  ['the loss of their role', () => (world.authority.roles = world.authority.roles.slice(0, 1)), 'ACCESS_DENIED'],
])('%s ends the part of a participant, and the session continues', async (_what, change, code) => {
  const alice = owner('echo ready; while read -r line; do echo "got:$line"; done');
  await alice.until('ready');
  const bob = join('bob', 'helper', 'peer');
  await bob.until('you type into');
  change();
  world.authority.changed();
  await bob.until(code);
  expect(await bob.closed).toBe(255);
  await alice.until('bob left');
  alice.type('on\r');
  await alice.until('got:on');
});

it('a lock on the owner ends the session for everybody', async () => {
  const alice = owner('echo ready; read -r line');
  await alice.until('ready');
  const bob = join('bob', 'watcher');
  await bob.until('you watch');
  world.authority.locks = [{ id: 'l', target_kind: 'user', target: 'alice', reason: 'incident 7', expires_at: null }];
  world.authority.changed();
  await bob.until('LOCKED');
  await Promise.all([alice.closed, bob.closed]);
});

it('an observer who reads nothing delays nobody, and gets the current screen when they read again', async () => {
  const alice = owner('echo ready; read -r line; seq 1 400000; echo all done; read -r line');
  await alice.until('ready');
  const bob = join('bob', 'watcher');
  await bob.until('you watch');
  bob.child.stdout!.pause();
  alice.type('go\r');
  await alice.until('all done');
  bob.child.stdout!.resume();
  await bob.until('all done');
  expect(bob.text().length).toBeLessThan(alice.text().length);
});

it('the owner hands the keyboard over at a second terminal, takes it back, and refuses peers', async () => {
  const alice = owner('echo ready; while read -r line; do echo "got:$line"; done');
  await alice.until('ready');
  const bob = join('bob', 'helper', 'peer');
  await bob.until('you type into');
  const console_ = join('alice', 'stranger', 'owner');
  await console_.until('your session');
  console_.type('h');
  await alice.until('bob has the keyboard');
  alice.type('lost\r');
  bob.type('by bob\r');
  await alice.until('got:by bob');
  expect(alice.text()).not.toContain('got:lost');
  // At the terminal of the session itself.
  alice.type('\x1d');
  await alice.until('you have the keyboard again');
  alice.type('mine\r');
  await alice.until('got:mine');
  console_.type('x');
  await alice.until('peers cannot type');
  bob.type('lost too\r');
  await bob.until('what you type is discarded');
  alice.type('end\r');
  await alice.until('got:end');
  expect(alice.text()).not.toMatch(/got:lost/);
  console_.type('q');
  expect(await console_.closed).toBe(0);
  expect(
    world.recorder.audits
      .filter(({ event }) => event === 'session.keyboard')
      .map(({ actor, data }) => [actor, JSON.parse(data ?? '') as object]),
  ).toMatchObject([
    ['alice', { keyboard: 'handed', to: 'bob' }],
    ['alice', { keyboard: 'refused' }],
  ]);
});

it("nobody can be the owner of somebody else's session", async () => {
  const alice = owner('echo ready; read -r line');
  await alice.until('ready');
  for (const role of ['helper', 'stranger']) {
    const mallory = join('mallory', role, 'owner');
    await mallory.until('SESSION_NOT_LIVE');
    expect(await mallory.closed).toBe(255);
  }
});

it('messages of participants reach everybody, without control characters, and are recorded with their author', async () => {
  const alice = owner('echo ready; while read -r line; do echo "got:$line"; done');
  await alice.until('ready');
  const [bob, carol] = [join('bob', 'watcher'), join('carol', 'helper', 'peer')];
  await Promise.all([bob.until('you watch'), carol.until('you type into')]);
  bob.type('cread \x07the\u202e log \u009b2J\r');
  for (const one of [alice, bob, carol]) await one.until('bob says: read the log 2J');
  carol.type('\x1dcw\u00f6rks\rls\r');
  for (const one of [alice, bob]) await one.until('carol says: w\u00f6rks');
  await alice.until('got:ls');
  for (let i = 0; i < 8; i++) bob.type(`cflood ${i}\r`);
  await bob.until('wait a little');
  expect(alice.text()).not.toContain('flood 7');
  alice.type('\u0004');
  await alice.closed;
  const recording = world.recorder.recordings()[0]!;
  expect(recording.lines.flatMap(({ code, data }) => (code === 'm' ? [data] : [])).slice(0, 2)).toEqual([
    'bob: read the log 2J',
    'carol: w\u00f6rks',
  ]);
  expect(recording.bytes('in').toString()).toBe('ls\r\u0004');
});
