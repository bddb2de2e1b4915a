/** Freezing a live session, with stock `ssh`: typed input does not reach the node, and the session continues. */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

const freeze = (session: string): void => {
  world.authority.locks = [{ id: 'l', target_kind: 'session-input', target: session, reason: 'incident 7', expires_at: null }];
  world.authority.changed();
};
const unfreeze = (): void => {
  world.authority.locks = [];
  world.authority.changed();
};

function said(child: ChildProcess): { text: () => string; until: (words: string, times?: number) => Promise<void> } {
  let all = '';
  child.stdout!.on('data', (chunk: Buffer) => (all += chunk.toString()));
  return {
    text: () => all,
    until: async (words, times = 1) => {
      while (all.split(words).length <= times) await once(child.stdout!, 'data');
    },
  };
}

const live = (): string => [...world.recorder.live][0]!;
const linesOf = (session: string): readonly unknown[] =>
  world.recorder.recordings().find(({ header }) => header.steno.session === session)!.lines;

it('input typed into a frozen terminal never reaches the node, and the session continues when the freeze is lifted', async () => {
  const child = world.start('ssh', [
    '-F',
    world.sshConfig,
    '-tt',
    'node-1',
    'stty -echo; echo ready; while read -r line; do echo "got:$line"; done',
  ]);
  const output = said(child);
  await output.until('ready');
  const session = live();
  child.stdin!.write('before\n');
  await output.until('got:before');

  freeze(session);
  await output.until('this session is frozen');
  expect(output.text()).toContain('incident 7');
  child.stdin!.write('hunter2\n');
  // More than the node's window: the client must get the window of discarded bytes back.
  const junk = Buffer.alloc(64 * 1024, 'junk\n');
  for (let sent = 0; sent < 4 << 20; sent += junk.length) if (!child.stdin!.write(junk)) await once(child.stdin!, 'drain');

  unfreeze();
  await output.until('no longer frozen');
  child.stdin!.write('\nafter\n');
  await output.until('got:after');
  const closed = once(child, 'close');
  child.stdin!.write('\u0004');
  await closed;
  expect(output.text()).not.toContain('hunter2');
  const recorded = JSON.stringify(linesOf(session));
  expect(recorded).toContain('"input_gate"');
  expect(recorded).toContain('"input_discarded"');
  expect(recorded).not.toContain(Buffer.from('hunter2').toString('base64').slice(0, 8));
  expect(world.recorder.audits.map(({ event }) => event)).toEqual(
    expect.arrayContaining(['session.frozen', 'session.unfrozen', 'lock.enforced']),
  );
});

it('input of a command on a pipe waits while its session is frozen, and arrives complete', async () => {
  const child = world.start('ssh', ['-F', world.sshConfig, 'node-1', 'echo ready; cat']);
  const output = said(child);
  await output.until('ready');
  freeze(live());
  child.stdin!.end('one two three\n');
  // Once the gateway answers a later request, another session of the same user, it has read the input.
  const { stdout } = await world.run('ssh', ['-F', world.sshConfig, 'node-1', 'echo meanwhile']);
  expect(stdout).toContain('meanwhile');
  expect(output.text()).not.toContain('one two three');
  unfreeze();
  await once(child, 'close');
  expect(output.text()).toContain('one two three\n');
});

it('a notice appears on the terminal and in the recording with its sender, and leaves the input alone', async () => {
  const child = world.start('ssh', ['-F', world.sshConfig, '-tt', 'node-1', 'echo ready; read -r line; echo "got:$line"']);
  const output = said(child);
  await output.until('ready');
  const session = live();
  child.stdin!.write('half ');
  await output.until('half ');
  world.authority.notices = [{ id: 'n', session, text: 'wir räumen gleich auf', by: 'bob', expires_at: Date.now() + 30_000 }];
  world.authority.changed();
  world.authority.changed();
  await output.until('steno: from bob: wir räumen gleich auf');
  const closed = once(child, 'close');
  child.stdin!.write('line\n');
  await output.until('got:half line');
  await closed;
  expect(output.text().split('from bob').length).toBe(2);
  expect(JSON.stringify(linesOf(session))).toContain(Buffer.from('\r\nsteno: from bob: wir räumen gleich auf\r\n').toString('base64'));
  expect(world.recorder.audits.filter(({ event }) => event === 'session.notice')).toHaveLength(1);
});
