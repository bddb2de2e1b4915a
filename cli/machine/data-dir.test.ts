import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataDir, lockDataDir, readRunFile, writeRunFile } from './data-dir.js';
import type { RunFile } from './data-dir.js';
import { reserve } from './ports.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-data-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const run = (pid: number): RunFile => ({
  version: '0.1.0',
  pid,
  started_at: 1,
  data: folder,
  ssh: '127.0.0.1:1',
  web: 'http://127.0.0.1:2',
  tunnel: '127.0.0.1:3',
  authority: 'https://127.0.0.1:3',
  ingest: 'wss://127.0.0.1:4',
  socket: join(folder, 'authority.sock'),
  node: null,
  fips: false,
  processes: {},
});

describe('data directory', () => {
  it('is where the option, the environment or the XDG folder says, in this order', () => {
    expect(dataDir('/a', { STENO_DATA: '/b' }).path).toBe('/a');
    expect(dataDir(undefined, { STENO_DATA: '/b' }).path).toBe('/b');
    expect(dataDir(undefined, { XDG_DATA_HOME: '/c' }).path).toBe('/c/steno');
  });

  it('without a run.json nothing runs', () => {
    expect(() => readRunFile(dataDir(folder))).toThrow(expect.objectContaining({ code: 'NOT_RUNNING' }));
  });

  it('a run.json left by a process that is gone counts for nothing', async () => {
    const child = spawn('true');
    await once(child, 'exit');
    writeRunFile(dataDir(folder), run(child.pid!));
    expect(() => readRunFile(dataDir(folder))).toThrow(expect.objectContaining({ code: 'NOT_RUNNING' }));
  });

  it('belongs to one holder, and a dead holder is replaced', async () => {
    const dir = dataDir(folder);
    const holder = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000) // steno']);
    await once(holder, 'spawn');
    writeFileSync(dir.lockFile, `${holder.pid}\n`);
    expect(() => lockDataDir(dir)).toThrow(expect.objectContaining({ code: 'ALREADY_RUNNING' }));
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    const unlock = lockDataDir(dir);
    unlock();
    expect(existsSync(dir.lockFile)).toBe(false);
  });
});

describe('ports', () => {
  it('port 0 becomes a free port', async () => {
    expect(await reserve('127.0.0.1:0', '--ssh-listen')).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
  });

  it('a taken port is named with its option', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await expect(reserve(`127.0.0.1:${port}`, '--web-listen')).rejects.toMatchObject({
      code: 'PORT_TAKEN',
      detail: `127.0.0.1:${port} is in use (--web-listen)`,
    });
    server.close();
  });
});
