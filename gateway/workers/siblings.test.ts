import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { askSibling, serveSiblings, siblingPath, takePlace } from './siblings.js';
import type { SiblingRequest } from './siblings.js';

const log = pino({ level: 'silent' });
let folder: string;
const servers: Server[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-siblings-'));
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(folder, { recursive: true, force: true });
});

const request: SiblingRequest = { kind: 'ssh', node: 'far', key: 'a'.repeat(64), source: '192.0.2.1' };

async function place(open: (request: SiblingRequest) => Duplex): Promise<string> {
  const path = siblingPath(folder, 1);
  const server = await takePlace(path, log);
  servers.push(server);
  serveSiblings(server, open, log);
  return path;
}

describe('a stream for a sibling', () => {
  it('carries bytes both ways, and ends each direction separately', async () => {
    const asked: SiblingRequest[] = [];
    const path = await place((one) => {
      asked.push(one);
      return new PassThrough();
    });
    const socket = askSibling(path, request);
    const bytes = Buffer.alloc(3 << 20, 'what is typed');
    socket.end(bytes);
    expect((await buffer(socket)).equals(bytes)).toBe(true);
    expect(asked).toEqual([request]);
  });

  it('ends at once if the tunnel is gone', async () => {
    const path = await place(() => {
      throw new StenoError('NODE_UNREACHABLE', 'far');
    });
    const socket = askSibling(path, request);
    socket.resume();
    await once(socket, 'end');
    socket.destroy();
  });

  it.each([
    ['no JSON', 'hello\n'],
    ['a field too many', `${JSON.stringify({ ...request, more: 1 })}\n`],
    ['an invalid name', `${JSON.stringify({ ...request, node: '../x' })}\n`],
    ['an endless line', 'x'.repeat(4_096)],
  ])('is refused for %s', async (_, line) => {
    let opened = 0;
    const path = await place(() => {
      opened += 1;
      return new PassThrough();
    });
    const socket = connect(path);
    socket.on('error', () => undefined).resume();
    socket.write(line);
    await once(socket, 'close');
    expect(opened).toBe(0);
  });
});

describe('the socket of a worker', () => {
  it('is taken over from a process that was killed', async () => {
    const path = siblingPath(folder, 1);
    const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('here'))`;
    const earlier = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(earlier.stdout, 'data');
    const taken = takePlace(path, log);
    let early = true;
    void taken.then(() => expect(early).toBe(false));
    // It waits while the other process lives: a new connection still reaches that one.
    const met = connect(path).on('error', () => undefined);
    await once(met, 'connect');
    early = false;
    earlier.kill('SIGKILL');
    servers.push(await taken);
    expect(existsSync(path)).toBe(true);
  });

  it('is refused while the earlier process does not end', async () => {
    const path = siblingPath(folder, 1);
    const earlier = createServer((socket) => socket.destroy());
    servers.push(earlier);
    earlier.listen(path);
    await once(earlier, 'listening');
    await expect(takePlace(path, log, 0)).rejects.toMatchObject({ code: 'ALREADY_RUNNING' });
  });

  it('replaces a file that is not a socket, and refuses a path that is too long for one', async () => {
    const path = siblingPath(folder, 1);
    writeFileSync(path, '');
    servers.push(await takePlace(path, log));
    expect(() => siblingPath('/'.padEnd(120, 'x'), 1)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }) as Error);
  });
});
