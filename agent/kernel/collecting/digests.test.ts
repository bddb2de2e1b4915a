import { createHash } from 'node:crypto';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, lstatSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Digests } from './digests.js';
import type { Executable } from './digests.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-digests-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sleep = readFileSync('/bin/sleep');
const sha256 = createHash('sha256').update(sleep).digest('hex');
const stateOf = (path: string): NonNullable<Executable['state']> => {
  const { dev, ino, size, ctimeNs } = statSync(path, { bigint: true });
  return { key: `${dev} ${ino} ${size} ${ctimeNs}`, changed: ctimeNs };
};
const of = (path: string, pid = 0): Executable => ({
  pid,
  path,
  inode: statSync(path).ino,
  size: statSync(path).size,
  at: Date.now(),
  state: stateOf(path),
});

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

it("does not wait at what the user has put in the file's place: a pipe that nobody writes, a device, a link, a folder", async () => {
  const path = join(folder, 'swapped');
  copyFileSync('/bin/sleep', path);
  const ran = of(path);
  const digests = new Digests();
  const swaps: readonly (readonly [string, string, ...string[]])[] = [
    ['mkfifo', path],
    ['mknod', path, 'c', '1', '5'],
    ['ln', '-s', '/etc/shadow', path],
    ['mkdir', path],
  ];
  for (const [file, ...args] of swaps) {
    rmSync(path, { recursive: true, force: true });
    if (spawnSync(file, args).status !== 0) continue;
    // More than are computed at a time: each of them would block one.
    const inode = lstatSync(path).ino;
    const found = await Promise.all(Array.from({ length: 6 }, () => digests.of({ ...ran, inode })));
    expect(new Set(found.map((digest) => JSON.stringify(digest)))).toEqual(new Set([JSON.stringify({ missing: 'gone' })]));
  }
  expect(await digests.of(of('/bin/sleep'))).toEqual({ sha256 });
});

it('of many at a time, all are answered', async () => {
  const digests = new Digests();
  const found = await Promise.all(Array.from({ length: 50 }, () => digests.of(of('/bin/sleep'))));
  expect(new Set(found.map((digest) => JSON.stringify(digest)))).toEqual(new Set([JSON.stringify({ sha256 })]));
});

it('is known by the state that the kernel names, once it was made of that very state', async () => {
  const path = join(folder, 'state');
  copyFileSync('/bin/sleep', path);
  const digests = new Digests();
  const before = of(path);
  expect(digests.known(before.state!.key)).toBeNull();
  await digests.of(before);
  expect(digests.known(before.state!.key)).toEqual({ sha256 });
  // The same inode and size with other content is another state, about which nothing is known yet.
  const bytes = readFileSync(path);
  bytes[0]! ^= 1;
  writeFileSync(path, bytes);
  const after = of(path);
  expect(after.inode).toBe(before.inode);
  expect(digests.known(after.state!.key)).toBeNull();
  expect(await digests.of(after)).toEqual({ sha256: createHash('sha256').update(bytes).digest('hex') });
});

it("of a state that is over when it is looked for is not taken for that state's", async () => {
  const path = join(folder, 'over');
  copyFileSync('/bin/sleep', path);
  const ran = of(path);
  const bytes = readFileSync(path);
  bytes[0]! ^= 1;
  writeFileSync(path, bytes);
  const digests = new Digests();
  await digests.of(ran);
  expect(digests.known(ran.state!.key)).toBeNull();
});

it('a FIFO, a terminal or a link put where the program was is not opened, and holds up nobody', async () => {
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const link = join(folder, 'link');
  symlinkSync('/bin/sleep', link);
  const ran = of('/bin/sleep');
  const digests = new Digests();
  const opened: unknown[] = [];
  const watching = new Digests({
    open: ((place: string, how: number) => {
      opened.push([place, how]);
      return open(place, how);
    }) as typeof open,
  });
  // More than there are slots and threads.
  const attacks = Array.from({ length: 12 }, () => digests.of({ ...ran, path: fifo }));
  expect(await digests.of(ran)).toEqual({ sha256 });
  expect(new Set((await Promise.all(attacks)).map((digest) => JSON.stringify(digest)))).toEqual(new Set(['{"missing":"gone"}']));
  for (const path of ['/dev/tty', '/dev/ptmx', link]) expect(await digests.of({ ...ran, path })).toEqual({ missing: 'gone' });
  // The inode that the kernel reported does not help either.
  expect(await watching.of({ ...ran, path: fifo, inode: statSync(fifo).ino })).toEqual({ missing: 'gone' });
  expect(opened.every((one) => ((one as [string, number])[1] & 0o10_000_000) !== 0)).toBe(true);
});

it('a file system that does not answer takes the turns of others away and nothing else', async () => {
  const stuck: (() => void)[] = [];
  let dead = true;
  const digests = new Digests({
    limitMs: 50,
    open: (async (place: string, how: number) => {
      if (dead && place.includes('stuck')) await new Promise<void>((resolve) => stuck.push(resolve));
      return open(place, how);
    }) as typeof open,
  });
  const held = await Promise.all(Array.from({ length: 9 }, () => digests.of({ ...of('/bin/sleep'), path: '/stuck' })));
  expect(held).toEqual(held.map(() => ({ missing: 'late' })));
  expect(stuck.length).toBe(2);
  expect(await digests.of(of('/bin/sleep'))).toEqual({ missing: 'late' });
  dead = false;
  for (const answer of stuck) answer();
  expect(await digests.of(of('/bin/sleep'))).toEqual({ sha256 });
});
