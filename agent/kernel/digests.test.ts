import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Digests } from './digests.js';
import type { Executable } from './digests.js';

let folder: string;
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'steno-digests-')); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sleep = readFileSync('/bin/sleep');
const sha256 = createHash('sha256').update(sleep).digest('hex');
const of = (path: string, pid = 0): Executable => ({ pid, path, inode: statSync(path).ino, size: statSync(path).size, at: Date.now() });

it('is that of the file, by its path when the process is gone', async () => {
  expect(await new Digests().of(of('/bin/sleep'))).toEqual({ sha256 });
});

it('is found through a living process when the file has no name any more', async () => {
  const path = join(folder, 'gone');
  copyFileSync('/bin/sleep', path);
  const child = spawn(path, ['30'], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
  const executable = of(path, child.pid);
  rmSync(path);
  expect(await new Digests().of(executable)).toEqual({ sha256 });
  child.kill();
});

it('is not guessed: another file at the path, a changed one, or none', async () => {
  const path = join(folder, 'other');
  copyFileSync('/bin/sleep', path);
  const ran = of(path);
  rmSync(path);
  writeFileSync(join(folder, 'in between'), '');
  copyFileSync('/bin/true', path);
  expect(await new Digests().of({ ...ran, inode: ran.inode + 1_000_000 })).toEqual({ missing: 'gone' });
  expect(await new Digests().of({ ...of(path), at: Date.now() - 60_000 })).toEqual({ missing: 'changed since' });
  expect(await new Digests().of({ ...ran, path: join(folder, 'none') })).toEqual({ missing: 'gone' });
});

it('of many at a time, all are answered', async () => {
  const digests = new Digests();
  const found = await Promise.all(Array.from({ length: 50 }, () => digests.of(of('/bin/sleep'))));
  expect(new Set(found.map((digest) => JSON.stringify(digest)))).toEqual(new Set([JSON.stringify({ sha256 })]));
});
