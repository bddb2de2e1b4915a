import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { judgeCaller, peerCredentials } from './owner-caller.js';
import { Cleanup, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const code = (error: unknown): unknown => (error === null ? null : (error as { code: string }).code);

test('the kernel says which process connected, also when another holds the connection by then', async () => {
  const path = join(temporaryFolder(cleanup), 's.sock');
  const server = createServer().listen(path);
  cleanup.add(() => void server.close());
  await once(server, 'listening');
  // A program that connects and passes the connection to a child.
  const child = spawn('/usr/bin/python3', [
    '-c',
    `import socket, os, time\ns = socket.socket(socket.AF_UNIX); s.connect(${JSON.stringify(path)})\nif os.fork() == 0: s.sendall(b'child'); time.sleep(60)\ntime.sleep(60)`,
  ]);
  cleanup.add(() => void child.kill('SIGKILL'));
  const [socket] = (await once(server, 'connection')) as [Socket];
  await once(socket, 'data');
  expect(peerCredentials(socket)).toEqual({ pid: child.pid, uid: process.getuid!() });
  socket.destroy();
});

describe('a caller', () => {
  const up = 50;
  // 1 ─ 50 up ─ 60 stage ─ 70 session ─ 71 shell ─ 72 program
  //   └ 90 terminal ─ 91 program
  const tree = new Map([
    [50, 1],
    [60, 50],
    [70, 60],
    [71, 70],
    [72, 71],
    [90, 1],
    [91, 90],
  ]);
  const parent = (pid: number): number | null => tree.get(pid) ?? null;
  test.each([
    ['steno up itself', { pid: 50, uid: 7 }, null],
    ['a stage', { pid: 60, uid: 7 }, null],
    ['a session', { pid: 70, uid: 7 }, 'SOCKET_IN_SESSION'],
    ['deep in a session', { pid: 72, uid: 7 }, 'SOCKET_IN_SESSION'],
    ['root in a session', { pid: 72, uid: 0 }, 'SOCKET_IN_SESSION'],
    ['a terminal of the machine', { pid: 91, uid: 7 }, null],
    ['root', { pid: 91, uid: 0 }, null],
    ['another user', { pid: 91, uid: 8 }, 'SOCKET_CALLER'],
    ['one that is gone', { pid: 99, uid: 7 }, 'SOCKET_CALLER'],
    ['of another namespace', { pid: 0, uid: 7 }, null],
    ['nobody knows whom', null, 'SOCKET_CALLER'],
  ])('%s', (_who, peer, expected) => expect(code(judgeCaller(peer, { uid: 7, supervisor: up }, parent))).toBe(expected));

  test('without `steno up` nothing here starts sessions', () =>
    expect(judgeCaller({ pid: 72, uid: 7 }, { uid: 7, supervisor: undefined }, parent)).toBeNull());

  test('that a stage started is refused, however deep, and one that it did not start never', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 60 }), fc.nat(), (links, pick) => {
        // Process n + 2 was started by an earlier one; 2 is `steno up`.
        const parents = new Map(links.map((link, n) => [n + 3, 1 + (link % (n + 2))]));
        parents.set(2, 1);
        const pid = 2 + (pick % (links.length + 1));
        const above: number[] = [];
        for (let at = pid; at > 1; at = parents.get(at)!) above.push(at);
        const depth = above.indexOf(2);
        expect(code(judgeCaller({ pid, uid: 7 }, { uid: 7, supervisor: 2 }, (one) => parents.get(one) ?? null))).toBe(
          depth >= 2 ? 'SOCKET_IN_SESSION' : null,
        );
      }),
    );
  });
});
