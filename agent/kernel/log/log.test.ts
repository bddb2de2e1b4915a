import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { EventLog } from './log.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const read = (log: EventLog, file: number): string => {
  const buffer = Buffer.alloc(log.size(file));
  return buffer.subarray(0, log.read(file, 0, buffer)).toString();
};

it('keeps what was appended, also for the next process', () => {
  const log = new EventLog(folder);
  expect(log.append(Buffer.from('one'))).toBe(true);
  expect(log.append(Buffer.from('two'))).toBe(true);
  expect(read(log, log.current!)).toBe('onetwo');
  log.close();
  const next = new EventLog(folder);
  expect(next.files).toEqual([1]);
  expect(read(next, 1)).toBe('onetwo');
});

it('never uses a number again, not even when every file is gone', () => {
  const log = new EventLog(folder);
  log.append(Buffer.from('one'));
  log.cut();
  log.remove(1, false);
  log.close();
  const next = new EventLog(folder);
  next.append(Buffer.from('two'));
  expect(next.files).toEqual([2]);
});

it('says no when the budget is used, and yes again when a file is gone', () => {
  const log = new EventLog(folder, 10);
  expect(log.append(Buffer.alloc(8))).toBe(true);
  expect(log.append(Buffer.alloc(8))).toBe(false);
  log.cut();
  log.remove(1, false);
  expect(log.append(Buffer.alloc(8))).toBe(true);
});

it('tells of each new file before anything is in it, and keeps aside what was refused', () => {
  const log = new EventLog(folder);
  log.onFile = () => log.append(Buffer.from('head '));
  log.append(Buffer.from('body'));
  expect(read(log, 1)).toBe('head body');
  log.cut();
  log.remove(1, true);
  expect(readdirSync(folder).sort()).toEqual(['1.refused', 'sequence']);
});

it('keeps aside the newest few', () => {
  const log = new EventLog(folder);
  for (let file = 1; file <= 20; file++) {
    log.append(Buffer.from('x'));
    log.cut();
    log.remove(file, true);
  }
  expect(readdirSync(folder).filter((name) => name.endsWith('.refused'))).toHaveLength(8);
  expect(readdirSync(folder)).toContain('20.refused');
});

it('uses no file whose head was refused, and leaves none behind', () => {
  const log = new EventLog(folder);
  let refuses = true;
  log.onFile = () => !refuses && log.append(Buffer.from('head '));
  expect(log.append(Buffer.from('body'))).toBe(false);
  expect(readdirSync(folder)).toEqual(['sequence']);
  refuses = false;
  expect(log.append(Buffer.from('body'))).toBe(true);
  expect(log.files).toHaveLength(1);
  expect(read(log, log.files[0]!)).toBe('head body');
});
