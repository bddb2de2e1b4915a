/** Sessions that need participants, with stock clients: nothing starts before they have joined. */
import { existsSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { roleSchema } from '#schemas/policy/role.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';
import { joinAs, openRoles, person } from '../../testing/people.js';
import type { Person } from '../../testing/people.js';

let world: World;
const demand = (moderation: object): void => {
  world.authority.roles = [
    roleSchema.parse({ kind: 'role', name: 'admin', allow: { nodes: { '*': '*' }, logins: ['root', 'nobody', '*'] }, moderation }),
    ...openRoles,
  ];
  // Published now, so that taking the roles away later is a change.
  world.authority.changed();
};
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

const owner = (...command: readonly string[]): Person => person(world.start('ssh', ['-F', world.sshConfig, ...command]));

it('a shell starts once a moderator has joined, is paused when they leave, and continues when one is back', async () => {
  demand({ on_leave: 'pause' });
  const alice = owner('-tt', 'node-1', 'echo started; while read -r line; do echo "got:$line"; done');
  await alice.until('this session waits for others');
  await alice.until('steno join ');
  alice.type('too early\r');
  const bob = joinAs(world, 'bob', 'helper', 'observer');
  await bob.until('you watch');
  expect(alice.text()).not.toContain('started');
  const carol = joinAs(world, 'carol', 'helper', 'moderator');
  await alice.until('started');
  alice.type('one\r');
  await alice.until('got:one');
  expect(alice.text()).not.toContain('got:too early');
  carol.type('q');
  await alice.until('carol left this session');
  alice.type('lost\r');
  const dave = joinAs(world, 'dave', 'helper', 'moderator');
  await alice.until('dave joined this session');
  await alice.until(/it goes on[^]*it goes on/);
  alice.type('two\r');
  await alice.until('got:two');
  expect(alice.text()).not.toContain('got:lost');
  // A participant who loses the demanded role no longer counts.
  world.authority.roles = world.authority.roles.filter(({ name }) => name !== 'helper');
  world.authority.changed();
  await dave.until('ACCESS_DENIED');
  await alice.until(/waits for others[^]*waits for others[^]*waits for others/);
});

it('a session ends with its moderator if the role says so', async () => {
  demand({ on_leave: 'terminate' });
  const alice = owner('-tt', 'node-1', 'echo started; read -r line');
  await alice.until('steno join ');
  const carol = joinAs(world, 'carol', 'helper', 'moderator');
  await alice.until('started');
  carol.type('q');
  await alice.until('MODERATION_LOST');
  expect(await alice.closed).toBe(255);
});

it('a moderator whose network is away pauses the session once, and it continues when they are back', { timeout: 150_000 }, async () => {
  demand({ on_leave: 'pause' });
  const alice = owner('-tt', 'node-1', 'stty -echo; echo started; while read -r line; do echo "got:$line"; done');
  await alice.until('steno join ');
  const carol = joinAs(world, 'carol', 'helper', 'moderator');
  await alice.until('started');
  await carol.until('you moderate');
  // Nothing arrives from her client any more, and nobody closes the connection.
  carol.child.kill('SIGSTOP');
  await alice.until('nothing is heard of carol');
  await alice.until(/waits for others[^]*waits for others/);
  alice.type('lost\r');
  // The input is discarded, and recorded as discarded.
  await expect.poll(() => world.recorder.recordings()[0]!.lines.some(({ code }) => code === 'g')).toBe(true);
  carol.child.kill('SIGCONT');
  await alice.until('carol is back');
  alice.type('two\r');
  await alice.until('got:two');
  expect(alice.text()).not.toContain('got:lost');
  expect(world.recorder.audits.map(({ event }) => event).filter((event) => event.startsWith('session.participant_'))).toEqual([
    'session.participant_lost',
    'session.participant_back',
  ]);
});

it('a moderator who does not prove presence counts as gone, and is back after a second factor', async () => {
  const role = roleSchema.parse({
    ...{ kind: 'role', name: 'admin', allow: { nodes: { '*': '*' }, logins: ['root', 'nobody', '*'] } },
    moderation: { presence: '2m' },
  });
  // Shorter than a role can say.
  world.authority.roles = [{ ...role, moderation: { ...role.moderation!, presence: 1 } }, ...openRoles];
  world.authority.changed();
  const questions: ((yes: boolean) => void)[] = [];
  world.authority.confirmed = () => new Promise((resolve) => void questions.push(resolve));
  const alice = owner('-tt', 'node-1', 'stty -echo; echo started; while read -r line; do echo "got:$line"; done');
  await alice.until('steno join ');
  const carol = joinAs(world, 'carol', 'helper', 'moderator');
  await alice.until('started');
  await carol.until('prove that you are there');
  expect(carol.text()).toMatch(/http:\/\/steno\.invalid\/confirm#\w+\.node-1/);
  await alice.until('carol did not prove to be here, and counts as gone');
  await carol.until('you count as gone');
  alice.type('lost\r');
  await alice.until(/waits for others[^]*waits for others/);
  questions.at(-1)!(false);
  await carol.until('it was denied in the browser');
  const asked = questions.length;
  carol.type('v');
  await expect.poll(() => questions.length).toBe(asked + 1);
  // From now on every question is confirmed at once.
  world.authority.confirmed = async () => true;
  questions.at(-1)!(true);
  await alice.until('carol has proven to be here');
  alice.type('two\r');
  await alice.until('got:two');
  expect(alice.text()).not.toContain('got:lost');
  expect(world.recorder.audits).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ event: 'session.presence_missed', actor: 'carol', outcome: 'failure' }),
      expect.objectContaining({ event: 'session.presence_proven', actor: 'carol', outcome: 'success' }),
    ]),
  );
});

it('a command and a file transfer wait too, and run completely', async () => {
  demand({});
  const target = joinPath(world.directory, 'copied');
  const source = joinPath(world.directory, 'source');
  writeFileSync(source, 'x'.repeat(100_000));
  const command = owner('node-1', 'cat; echo "ran as $USER"');
  command.child.stdin!.end('input of the command\n');
  await command.until('steno join ');
  expect(command.text()).not.toContain('input of the command');
  const carol = joinAs(world, 'carol', 'helper', 'moderator');
  await carol.until('exec: cat; echo');
  await command.until('ran as');
  expect(await command.closed).toBe(0);
  expect(command.text()).toContain('input of the command');
  await carol.until('ran as');
  await carol.closed;
  const copy = person(world.start('scp', ['-F', world.sshConfig, source, `node-1:${target}`]));
  await copy.until('steno join ');
  expect(existsSync(target)).toBe(false);
  joinAs(world, 'carol', 'helper', 'moderator');
  expect(await copy.closed).toBe(0);
  expect(existsSync(target)).toBe(true);
});

it('a waiting user may cancel, and can forward nothing meanwhile', async () => {
  demand({});
  const forward = owner('-N', '-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:1', 'node-1');
  expect(await forward.closed).not.toBe(0);
  const alice = owner('-tt', 'node-1', 'echo started');
  await alice.until('steno join ');
  alice.type('\u0003');
  await alice.until('MODERATION_AWAITED');
  expect(await alice.closed).toBe(255);
  expect(alice.text()).not.toContain('started');
});

const requireModerator = (on: boolean): void => {
  const [session] = [...world.recorder.live];
  world.authority.locks = on
    ? [{ id: 'l', target_kind: 'session-moderation', target: session!, reason: 'bulk data', expires_at: null }]
    : [];
  world.authority.changed();
};

it('a session that a lock pauses continues while somebody who may moderate is present, and nobody else counts', async () => {
  world.authority.roles = [...world.authority.roles, ...openRoles];
  const alice = owner('-tt', 'node-1', 'stty -echo; echo started; while read -r line; do echo "got:$line"; done');
  await alice.until('started');
  alice.type('zero\r');
  await alice.until('got:zero');
  requireModerator(true);
  await alice.until('this session needs a moderator to go on');
  await alice.until('bulk data');
  await alice.until('--mode moderator');
  alice.type('secret\r');
  // A peer cannot type either, and an observer's role does not permit moderating.
  const bob = joinAs(world, 'bob', 'helper', 'peer');
  await bob.until('you ');
  bob.type('of a peer\r');
  const watcher = joinAs(world, 'eve', 'watcher', 'moderator');
  await watcher.until('ACCESS_DENIED');
  const carol = joinAs(world, 'carol', 'helper', 'moderator');
  await alice.until('carol moderates this session; it goes on');
  alice.type('one\r');
  await alice.until('got:one');
  carol.type('q');
  await alice.until(/needs a moderator to go on[^]*needs a moderator to go on/);
  requireModerator(false);
  await alice.until('this session needs no moderator any longer');
  alice.type('two\r');
  await alice.until('got:two');
  for (const never of ['got:secret', 'got:of a peer']) expect(alice.text()).not.toContain(never);
  expect(world.recorder.audits.map(({ event }) => event)).toEqual(
    expect.arrayContaining(['session.moderation_required', 'session.moderation_lifted', 'lock.enforced']),
  );
});

it('a command on a pipe that a lock pauses can be joined, and gets its whole input', async () => {
  world.authority.roles = [...world.authority.roles, ...openRoles];
  const alice = owner('node-1', 'echo started; cat');
  await alice.until('started');
  requireModerator(true);
  await alice.until('this session needs a moderator to go on');
  alice.child.stdin!.end('one two three\n');
  const carol = joinAs(world, 'carol', 'helper', 'moderator');
  await carol.until('exec: echo started; cat');
  await alice.until('one two three');
  expect(await alice.closed).toBe(0);
});
