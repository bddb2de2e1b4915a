/** Uses files in a real folder whose paths are on the list, because it is a home with keys; and one session in the real kernel. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CONTENT_ROW } from '#schemas/kernel/configuration.js';
import { explain, obstacles } from '../probes/programs.js';
import { Probe } from '../testing/probe.js';
import { Contents } from './contents.js';
import type { ContentChange } from './contents.js';

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
let home: string;
let keys: string;
let changes: ContentChange[];
let contents: Contents;
let ours: boolean | null;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'steno-contents-'));
  mkdirSync(join(home, '.ssh'));
  keys = join(home, '.ssh', 'authorized_keys');
  changes = [];
  ours = true;
  contents = new Contents({ now: Date.now, emit: (_, change) => void changes.push(change), isOurs: () => Promise.resolve(ours) });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Until nothing of session 1 is pending. */
async function settled(last = true): Promise<readonly ContentChange[]> {
  while (contents.pending(1, last)) {
    contents.turn();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return changes;
}
const gone = 4_194_304;
const changed = (path = keys): void => contents.changed(1, gone, path, Date.now() + 1);

describe('content of configuration', () => {
  it('is told with what it was before, if that was read before the change', async () => {
    writeFileSync(keys, 'one');
    await contents.scan([keys]);
    contents.changed(1, gone, keys, 5);
    writeFileSync(keys, 'two');
    expect(await settled()).toMatchObject([{ path: keys, content: { sha256: hash('two'), size: 3 }, before: null }]);
    changed();
    writeFileSync(keys, 'three');
    expect((await settled())[1]).toMatchObject({ content: { sha256: hash('three') }, before: { sha256: hash('two') } });
  });

  it('that is as before is not told; a file that is renamed onto it, and one that is gone, are', async () => {
    writeFileSync(keys, 'one');
    await contents.scan([keys]);
    changed();
    expect(await settled()).toEqual([]);
    writeFileSync(join(home, 'other'), 'other');
    renameSync(join(home, 'other'), keys);
    changed();
    await settled();
    unlinkSync(keys);
    changed();
    expect((await settled()).map(({ content, before }) => [content, before?.sha256])).toEqual([
      [{ sha256: hash('other'), size: 5 }, hash('one')],
      [{ missing: 'gone' }, hash('other')],
    ]);
  });

  it('is read when the process has the file open no more', async () => {
    const file = openSync(keys, 'w');
    contents.changed(1, process.pid, keys, Date.now());
    writeFileSync(file, 'half');
    const until = Date.now() + 600;
    while (Date.now() < until) {
      contents.turn();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(changes).toEqual([]);
    writeFileSync(file, ' whole');
    closeSync(file);
    expect(await settled(false)).toMatchObject([{ content: { sha256: hash('half whole') } }]);
  });

  it('is not read through links, of folders nor of itself, nor of anything but small regular files', async () => {
    const secret = join(home, 'secret');
    writeFileSync(secret, 'secret');
    symlinkSync(secret, keys);
    changed();
    await settled();
    unlinkSync(keys);
    writeFileSync(keys, Buffer.alloc((1 << 20) + 1));
    changed();
    await settled();
    unlinkSync(keys);
    mkdirSync(keys);
    changed();
    await settled();
    symlinkSync(join(home, '.ssh'), join(home, 'link'));
    mkdirSync(join(home, 'elsewhere'));
    symlinkSync(join(home, '.ssh'), join(home, 'elsewhere', '.ssh'));
    rmSync(keys, { recursive: true });
    writeFileSync(keys, 'x');
    changed(join(home, 'elsewhere', '.ssh', 'authorized_keys'));
    expect((await settled()).map(({ content }) => content)).toEqual(
      ['a link', 'too large', 'no regular file', 'elsewhere'].map((missing) => ({ missing })),
    );
  });

  it('of processes that see other files is not read, and of one that is gone only if the file has changed', async () => {
    writeFileSync(keys, 'ours');
    ours = false;
    changed();
    await settled();
    ours = null;
    changed();
    await settled();
    expect(changes.map(({ content }) => content)).toEqual([{ missing: 'other mounts' }, { sha256: hash('ours'), size: 4 }]);
    // The change time cannot be set back, so the recorded change is moved into the future.
    const later = new Contents({
      now: () => Date.now() + 60_000,
      emit: (_, change) => void changes.push(change),
      isOurs: () => Promise.resolve(null),
    });
    utimesSync(keys, 1, 1);
    later.changed(1, gone, keys, Date.now());
    while (later.pending(1, true)) {
      later.turn();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(changes[2]?.content).toEqual({ missing: 'other mounts' });
  });

  it('is told of a session so often and no more, and not of one that is over', async () => {
    for (let i = 0; i < 510; i += 1) {
      writeFileSync(keys, String(i));
      changed();
      await settled();
    }
    expect(changes).toHaveLength(500);
    contents.changed(2, gone, keys, Date.now());
    contents.forget(2);
    expect(contents.pending(2, true)).toBe(false);
  }, 30_000);
});

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('a session in the kernel', () => {
  it('that writes keys leaves the content, before its last row, however it writes', async () => {
    const probe = new Probe();
    try {
      const script = `echo one > ${keys}; echo two > ${home}/new; mv ${home}/new ${keys}; echo x > ${home}/other`;
      const { seen } = await probe.run('/bin/sh', ['-c', script]);
      const told = seen.filter(({ name }) => name === CONTENT_ROW);
      expect(told.length).toBeGreaterThan(0);
      expect(told.at(-1)).toMatchObject({
        kind: 'file',
        path: keys,
        sha256: hash('two\n'),
        outcome: 'success',
        data: { configuration: 'keys' },
      });
      expect(told.every(({ path }) => path === keys)).toBe(true);
    } finally {
      probe.programs.close();
    }
  }, 30_000);
});
