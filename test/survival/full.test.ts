/**
 * Full disks: that of the spool and that of the objects. Both are file systems of a few MiB, filled by another file.
 *
 * Mounting needs root; without root, this file is skipped with a message.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Steno, eventually } from '../end-to-end/machine.js';
import { A_PART, Scene, audit, seen } from './scene.js';

const steno = new Steno();
const spool = join(steno.data, 'gateway', 'spool');
const objects = join(steno.data, 'store', 'objects');
const mounted: string[] = [];

function mount(folder: string, size: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'steno-survival', folder], { stdio: 'pipe' });
  mounted.push(folder);
}

/** Fills the file system completely. Returns a function that frees it. */
function fill(folder: string): () => void {
  const file = join(folder, 'other');
  const fd = openSync(file, 'w');
  for (let size = 1 << 20; size >= 1;) {
    try {
      if (writeSync(fd, Buffer.alloc(size)) < size) size = Math.max(1, size >> 1);
    } catch {
      size = size >> 1;
    }
  }
  closeSync(fd);
  return () => rmSync(file, { force: true });
}

const refused = ((): string | null => {
  try {
    mount(spool, '3m');
    mount(objects, '3m');
    return null;
  } catch (error) {
    return String((error as { stderr?: Buffer }).stderr ?? error).trim();
  }
})();
if (refused !== null) process.stderr.write(`\nfull disks are NOT tested: no file system can be mounted here (${refused})\n`);

describe.skipIf(refused !== null)('a full disk', () => {
  let free: (() => void) | null = null;

  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
  });

  async function apply(mode: 'strict' | 'best_effort'): Promise<void> {
    const file = join(steno.folder, `${mode}.yaml`);
    writeFileSync(
      file,
      `kind: role\nname: admin\nallow:\n  nodes: {'*': '*'}\n  logins: ['*', root, '{user}']\nview: all\nadminister: true\nrecording: {mode: ${mode}}\n`,
    );
    const { status, stderr } = await steno.steno('apply', '-f', file);
    expect(status, stderr).toBe(0);
  }

  it('of the objects: nothing is acknowledged, the session continues, and everything arrives once there is room', async () => {
    const scene = new Scene(steno);
    await scene.opened();
    free = fill(objects);
    scene.print(A_PART);
    await scene.printed(40);
    await seen(() => scene.journal.includes('"part":1'));
    await eventually(
      () => audit(steno, 'store.unavailable'),
      ({ length }) => length > 0,
    );
    await scene.printedMore();
    expect(scene.journal).not.toContain('"stored"');
    expect(scene.hasObject('part-000001.cast.zst')).toBe(false);
    free();
    await scene.leave();
    expect(await scene.check()).toBe('complete');
  });

  it('of the spool: strict sessions end with the reason on their terminal, best_effort sessions continue, and both are audited', async () => {
    const strict = new Scene(steno);
    await strict.opened();
    strict.print();
    await strict.printed(35);
    await apply('best_effort');
    const bestEffort = new Scene(steno);
    await bestEffort.opened();
    bestEffort.print();
    await bestEffort.printed(35);
    free = fill(spool);

    await strict.terminal.ended;
    expect(strict.terminal.text()).toMatch(/\[(SPOOL_FULL|RECORDING_IMPOSSIBLE)\]/);
    await bestEffort.printedMore();
    await eventually(
      () => audit(steno, 'recording.failed'),
      (rows) => rows.some(({ session, code }) => session === strict.session && code === 'SPOOL_FULL'),
    );
    await eventually(
      () => audit(steno, 'recording.lost'),
      (rows) => rows.some(({ session, code }) => session === bestEffort.session && code === 'SPOOL_FULL'),
    );
    // Users under a strict role are refused meanwhile.
    await apply('strict');
    const late = await steno.ssh(`${steno.login}@local.steno`, 'echo ran');
    expect(late.stdout).toBe('');
    expect(late.status).not.toBe(0);
    expect(late.stderr).toMatch(/\[(SPOOL_FULL|RECORDING_IMPOSSIBLE)\]/);
    await eventually(
      () => audit(steno, 'recording.impossible'),
      ({ length }) => length > 0,
    );

    free();
    await eventually(
      () => audit(steno, 'recording.resumed'),
      (rows) => rows.some(({ session }) => session === bestEffort.session),
    );
    await bestEffort.printedMore();
    await bestEffort.leave();
    // Some output is missing, as its role permits: the recording verifies and has gaps for it.
    expect(await bestEffort.check({ lost: true })).toBe('complete');
    expect(await strict.check({ lost: true })).toBe('interrupted');
  });

  it('afterwards new sessions are recorded whole', async () => {
    const scene = new Scene(steno);
    await scene.opened();
    scene.print();
    await scene.printed(35);
    await scene.leave();
    expect(await scene.check()).toBe('complete');
  });
});

afterAll(async () => {
  await steno.stop();
  for (const folder of mounted) execFileSync('umount', [folder]);
  await steno.dispose();
});
