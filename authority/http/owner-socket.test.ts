import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { listenPrivately, preparePrivateFolder } from './owner-socket.js';
import { Cleanup, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const server = (): Server => {
  const made = createServer((socket) => socket.end());
  cleanup.add(() => void made.close());
  return made;
};

describe('the socket', () => {
  test('has mode 0600 whatever the umask, which is the same afterwards', async () => {
    const path = join(temporaryFolder(cleanup), 'a', 's.sock');
    const before = process.umask(0o000);
    try {
      await listenPrivately(server(), path);
      expect(process.umask()).toBe(0o000);
    } finally {
      process.umask(before);
    }
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700);
  });

  test('left over by a process that was killed is replaced', async () => {
    const path = join(temporaryFolder(cleanup), 's.sock');
    spawnSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    expect(lstatSync(path).isSocket()).toBe(true);
    await listenPrivately(server(), path);
  });

  test('on which somebody answers is left alone', async () => {
    const path = join(temporaryFolder(cleanup), 's.sock');
    await listenPrivately(server(), path);
    await expect(listenPrivately(server(), path)).rejects.toEqual(refusal('ALREADY_RUNNING'));
    expect(existsSync(path)).toBe(true);
  });

  test('never replaces a file, a folder or a symbolic link', async () => {
    const dir = temporaryFolder(cleanup);
    writeFileSync(join(dir, 'file'), 'precious');
    mkdirSync(join(dir, 'folder'));
    symlinkSync('/nowhere', join(dir, 'link'));
    for (const name of ['file', 'folder', 'link']) {
      await expect(listenPrivately(server(), join(dir, name))).rejects.toEqual(refusal('SOCKET_UNSAFE'));
      expect(lstatSync(join(dir, name))).toBeDefined();
    }
  });

  test('with a path too long for the kernel is refused with a reason', async () => {
    await expect(listenPrivately(server(), join(temporaryFolder(cleanup), 'x'.repeat(120)))).rejects.toEqual(refusal('SOCKET_UNSAFE'));
  });
});

describe('the folder', () => {
  test('that others may enter is closed to them', () => {
    const dir = join(temporaryFolder(cleanup), 'open');
    mkdirSync(dir);
    chmodSync(dir, 0o777);
    preparePrivateFolder(dir);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
  });
  test('that is a symbolic link or a file is refused', () => {
    const dir = temporaryFolder(cleanup);
    symlinkSync(dir, join(dir, 'link'));
    writeFileSync(join(dir, 'file'), '');
    expect(() => preparePrivateFolder(join(dir, 'link'))).toThrow(refusal('SOCKET_UNSAFE') as Error);
    expect(() => preparePrivateFolder(join(dir, 'file'))).toThrow();
  });
});
