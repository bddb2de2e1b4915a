import { afterEach, beforeEach, expect, test } from 'vitest';
import { trialFolder } from '../testing/recorder.js';
import { SessionCounter } from './counter.js';
import { faultyFiles } from '../testing/faults.js';
import { diskFiles } from './files.js';

let folder: ReturnType<typeof trialFolder>;
beforeEach(() => (folder = trialFolder()));
afterEach(() => folder.remove());

const open = (boot = 'a', floor = 0): Promise<SessionCounter> => SessionCounter.open(diskFiles, folder.path, floor, boot);

test('counts from 1, without a hole after the process died', async () => {
  const first = await open();
  expect([await first.next(), await first.next()]).toEqual([1, 2]);
  // Not closed, as after a kill.
  const second = await open();
  expect(second.skipped).toBeNull();
  expect(await second.next()).toBe(3);
  first.close();
  second.close();
});

test('reuses no number after a power cut, and reports the skipped ones', async () => {
  const first = await open('a');
  await first.next();
  const second = await open('b');
  expect(second.skipped).toEqual({ from: 2, to: 256 });
  expect(await second.next()).toBe(257);
  first.close();
  second.close();
});

test('treats every start as one after a power cut if boots cannot be told apart', async () => {
  (await open('')).close();
  const second = await open('');
  expect(await second.next()).toBe(257);
  second.close();
});

test('starts above every number in the spool', async () => {
  const counter = await open('a', 900);
  expect(await counter.next()).toBe(901);
  counter.close();
});

test('gives each caller a number of its own across batches', async () => {
  const counter = await open();
  const numbers = await Promise.all(Array.from({ length: 1000 }, () => counter.next()));
  expect(new Set(numbers).size).toBe(1000);
  expect(Math.max(...numbers)).toBe(1000);
  counter.close();
});

for (const kind of ['fail', 'fail after'] as const) {
  for (const call of ['sync', 'rename', 'syncFolder'] as const) {
    test(`a reservation whose ${call} ${kind === 'fail' ? 'failed' : 'was done but reported failed'} gives out no number, and none twice later`, async () => {
      const counter = await open();
      for (let i = 0; i < 256; i++) await counter.next();
      counter.close();
      let broken = true;
      const files = faultyFiles((seen) => (broken && seen === call ? { kind, code: 'EIO' } : null));
      await expect(SessionCounter.open(files, folder.path, 0, 'a')).rejects.toMatchObject({ code: 'EIO' });
      broken = false;
      const later = await SessionCounter.open(files, folder.path, 0, 'a');
      expect(await later.next()).toBe(257);
      later.close();
    });
  }
}

test('a record that cannot be read does not lower the floor', async () => {
  const fd = diskFiles.open(`${folder.path}/counter`, 'append');
  diskFiles.write(fd, Buffer.from('nonsense'), 0, 8);
  diskFiles.close(fd);
  const counter = await open('a', 5);
  expect(await counter.next()).toBe(6);
  counter.close();
});
