import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { descriptorPair, openPipe, receiveDescriptor, sendDescriptor } from './descriptors.js';

const folder = mkdtempSync(join(tmpdir(), 'steno-descriptors-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'file');
const openNow = (): number => readdirSync('/proc/self/fd').length;

describe('descriptors', () => {
  it('arrive, one for one, in order', () => {
    const [a, b] = descriptorPair();
    for (const number of [1, 2, 0xffff_ffff]) {
      writeFileSync(file, `file ${number}`);
      const fd = openSync(file, 'r');
      expect(sendDescriptor(a, number, fd)).toBe(true);
      closeSync(fd);
      const got = receiveDescriptor(b, number);
      expect(readFileSync(got, 'utf8')).toBe(`file ${number}`);
      closeSync(got);
    }
    for (const fd of [a, b]) closeSync(fd);
  });

  it('that were not announced are closed, and none is there that was not sent', () => {
    const [a, b] = descriptorPair();
    const fd = openSync(file, 'r');
    const before = openNow();
    expect(() => receiveDescriptor(b, 1)).toThrow(/no descriptor/);
    sendDescriptor(a, 7, fd);
    expect(() => receiveDescriptor(b, 8)).toThrow(/announced/);
    expect(openNow()).toBe(before);
    for (const one of [fd, a, b]) closeSync(one);
  });

  it('messages with two descriptors, none, or other bytes are refused, and leave nothing open', () => {
    const senders = [
      's.sendmsg([b"\\1\\0\\0\\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 0]))])',
      's.send(b"\\1\\0\\0\\0")',
      's.sendmsg([b"\\1\\0\\0\\0\\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])',
      's.sendmsg([b"\\1\\0\\0\\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 40))])',
      'pass',
    ];
    for (const send of senders) {
      const [a, b] = descriptorPair();
      const { status, stderr } = spawnSync('/usr/bin/python3', ['-c', `import socket, array\ns = socket.socket(fileno=3)\n${send}`], {
        stdio: ['ignore', 'ignore', 'pipe', a],
        encoding: 'utf8',
      });
      expect({ send, status, stderr }).toEqual({ send, status: 0, stderr: '' });
      closeSync(a);
      const before = openNow();
      expect(() => receiveDescriptor(b, 1)).toThrow();
      expect({ send, open: openNow() }).toEqual({ send, open: before });
      closeSync(b);
    }
  });

  it('are not handed over once the other end takes none: nothing blocks', () => {
    const [a, b] = descriptorPair();
    let sent = 0;
    while (sendDescriptor(a, sent, 0) && sent < 100_000) sent += 1;
    expect(sent).toBeLessThan(100_000);
    closeSync(b);
    expect(sendDescriptor(a, 1, 0)).toBe(false);
    closeSync(a);
  });

  it('pipes hold 64 KiB and no more', () => {
    const [read, write] = openPipe();
    const { stdout } = spawnSync(
      '/usr/bin/python3',
      [
        '-c',
        `import os\nos.set_blocking(3, False)\nn = 0\ntry:\n  while True: n += os.write(3, b"x" * 4096)\nexcept BlockingIOError: print(n)`,
      ],
      { stdio: ['ignore', 'pipe', 'ignore', write], encoding: 'utf8' },
    );
    expect(Number(stdout)).toBe(65_536);
    for (const fd of [read, write]) closeSync(fd);
  });
});
