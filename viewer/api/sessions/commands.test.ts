import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EventRow } from '#schemas/events/rows.js';
import type { EventFixture } from '#stores/events/conformance.js';
import { exampleEventRow, exampleScreenRow, exampleSession, exampleSessionRow } from '#stores/events/examples.js';
import { openedChdb } from '#stores/events/testing/opened.js';
import { CommandLists } from './commands.js';

let fixture: EventFixture;
beforeAll(async () => {
  fixture = await openedChdb();
});
afterAll(async () => {
  await fixture.store.close();
  await fixture.dispose();
});

const session = exampleSession(1);
let index = 0;
const kernel = (kind: 'fork' | 'exec', data: object, offset: number, path = '', name = ''): EventRow => {
  const row = { session, source: 'kernel', emitter: 'agent/web-1', block: 1, index: index++, at: 1_763_800_000_000 + offset } as const;
  return exampleEventRow({ ...row, offset_ms: offset, kind, path, name, data: JSON.stringify(data) });
};
const exec = (pid: number, ppid: number, offset: number, path: string, ...argv: readonly string[]): EventRow =>
  kernel('exec', { pid, ppid, argv }, offset, path, argv.join(' '));

test('a shell that a node service logs in has neither the login nor itself among what ran unseen', async () => {
  const sh = '/usr/bin/dash';
  await fixture.store.insert(
    'events',
    [
      exec(90, 1, 0, sh, 'sh', '-c', '{ echo 1000 >/proc/self/loginuid; } 2>/dev/null; ulimit -n 1024; exec "$@"', 'sh', '/bin/bash', '-l'),
      exec(90, 1, 2, '/usr/bin/su', 'su', '-s', '/bin/sh', '--session-command', 'echo steno-session-started; exec "$@"', 'ann'),
      kernel('fork', { pid: 90, child: 100 }, 5),
      exec(100, 90, 6, sh, 'sh', '-c', 'echo steno-session-started; exec "$@"', 'sh', '/bin/bash', '-l'),
      exec(100, 90, 10, '/usr/bin/bash', '/bin/bash', '-l'),
      kernel('fork', { pid: 100, child: 101 }, 900),
      exec(101, 100, 901, '/usr/bin/ls', 'ls', '-la'),
      kernel('fork', { pid: 100, child: 102 }, 9_000),
      exec(102, 100, 9_001, '/usr/bin/nc', 'nc', '-l'),
    ],
    'kernel',
  );
  const line = { session, block: 1, index: 0, at: 1_763_800_000_890, offset_ms: 890, text: 'ann@web-1:~$ ls -la' };
  await fixture.store.insert('screen', [exampleScreenRow(line)], 'screen');
  const row = exampleSessionRow({ session, state: 'sealed', started_at: 1_763_800_000_000, ended_at: 1_763_800_020_000 });
  const list = await new CommandLists(fixture.store, Date.now).of(row, 0);
  expect(list.commands.map(({ text, verdict }) => [text, verdict])).toEqual([['ls -la', 'ran']]);
  expect(list.hidden.map(({ text, by, direct }) => [text, by, direct])).toEqual([['nc -l', '/bin/bash -l', true]]);
});
