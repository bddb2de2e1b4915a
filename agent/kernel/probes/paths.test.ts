import fc from 'fast-check';
import { mkdirSync, mkdtempSync, readlinkSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { Probe } from '../testing/probe.js';
import type { Outcome, Seen } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

const python = '/usr/bin/python3';

describe.skipIf(missing.length > 0)('a path is where it was, or says that it need not be', () => {
  let probe: Probe;
  let folder: string;
  beforeAll(() => {
    probe = new Probe();
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'steno-paths-')));
    for (const name of ['sub', 'a/b', 'mnt']) mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, 'sub/secret'), 'secret\n');
    symlinkSync('a/b', join(folder, 'lnk'));
  });
  afterAll(() => {
    probe.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const inFolder = (script: string): Promise<Outcome> => probe.sh(script, { spawn: { cwd: folder } });
  const files = ({ seen }: Outcome, name: string): readonly Seen[] => seen.filter((one) => one.name === name && one.outcome === 'success');
  const below = (path: string): string => path.split('/').at(-1)!;

  it('in a mount that was taken out of every namespace', async () => {
    const outcome = await inFolder(`unshare -m sh -c 'mount --bind sub mnt && cd mnt && umount -l . && cat secret'`);
    const [open] = files(outcome, 'open').filter(({ path }) => path.endsWith('/secret'));
    expect(outcome.output).toContain('secret');
    expect(open!.path.endsWith(`${below(folder)}/sub/secret`), open!.path).toBe(true);
    expect(open!.reason).toBe('read,in a detached mount');
  });

  it('in a copy of a tree that was never put anywhere', async () => {
    const outcome = await probe.run(
      python,
      [
        '-c',
        `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
tree = libc.syscall(428, -100, b"sub", 1)
assert tree >= 0, ctypes.get_errno()
fd = os.open("secret", os.O_RDONLY, dir_fd=tree)
os.fchmod(fd, 0o600)
`,
      ],
      { spawn: { cwd: folder } },
    );
    expect(outcome.code, outcome.output).toBe(0);
    const touched = [...files(outcome, 'open'), ...files(outcome, 'chmod')].filter(({ path }) => path.endsWith('/secret'));
    expect(touched.map(({ path }) => path.endsWith(`${below(folder)}/sub/secret`))).toEqual([true, true]);
    expect(touched.map(({ reason }) => reason)).toEqual(['read,in a detached mount', 'in a detached mount']);
    expect(files(outcome, 'open_tree').map(({ path }) => path)).toEqual([join(folder, 'sub')]);
  });

  it('through a link and back: as it was asked, and it says so', async () => {
    const outcome = await inFolder('touch f a/f g a/g; chmod 600 lnk/../f; rm lnk/../f; mv lnk/../g lnk/../h; rm ./f; ls a');
    expect(outcome.output.trim().split('\n')).toEqual(['b', 'h']);
    const told = outcome.seen
      .filter(({ kind, name }) => kind === 'file' && ['chmod', 'unlink', 'rename'].includes(name))
      .map(({ name, path, reason, data }) => [name, path.slice(folder.length), reason, String(data['from'] ?? '').slice(folder.length)]);
    expect(told).toEqual([
      ['chmod', '/lnk/../f', 'as asked', ''],
      ['unlink', '/lnk/../f', 'as asked', ''],
      ['rename', '/lnk/../h', 'as asked,from as asked', '/lnk/../g'],
      ['unlink', '/f', '', ''],
    ]);
  });

  it('a new root by its own path, asked absolutely or not', async () => {
    for (const asked of [join(folder, 'sub'), 'sub', 'lnk/../../sub']) {
      const outcome = await probe.run(
        python,
        [
          '-c',
          `import os\nos.chroot(${JSON.stringify(asked)})\nos.chdir("/")\nos.open("secret", 0)\ntry: os.chroot("/nothing")\nexcept OSError: pass`,
        ],
        { spawn: { cwd: folder } },
      );
      expect(outcome.code, outcome.output).toBe(0);
      expect(outcome.seen.filter(({ name }) => name === 'chroot').map(({ path, reason, outcome: how }) => [path, reason, how])).toEqual([
        [join(folder, 'sub'), '', 'success'],
        [join(folder, 'sub/nothing'), '', 'ENOENT'],
      ]);
      expect(files(outcome, 'open').map(({ path }) => path)).toContain(join(folder, 'sub/secret'));
    }
  });

  it('which mount namespace was entered, and which one a new root is in', async () => {
    const own = Number(/\d+/.exec(readlinkSync('/proc/self/ns/mnt'))![0]);
    const outcome = await inFolder(
      `unshare -m sh -c 'nsenter --mount=/proc/${process.pid}/ns/mnt true; chroot /proc/${process.pid}/root true; mount -t tmpfs none mnt; chroot / true'`,
    );
    const entered = outcome.seen.filter(({ name }) => name === 'setns' || name === 'chroot');
    expect(entered.map(({ name, outcome: how }) => [name, how])).toEqual([
      ['setns', 'success'],
      ['chroot', 'success'],
      ['chroot', 'success'],
    ]);
    const [byCall, byRoot, inside] = entered.map(({ data }) => data['mnt_ns']);
    expect([byCall, byRoot]).toEqual([own, own]);
    expect(inside).toBeGreaterThan(0);
    expect(inside).not.toBe(own);
  });

  it('pivot_root: as it was asked', async () => {
    const outcome = await inFolder(`unshare -m sh -c 'mount -t tmpfs none mnt && mkdir mnt/old && pivot_root mnt mnt/old'`);
    expect(
      outcome.seen
        .filter(({ name }) => name === 'pivot_root')
        .map(({ path, reason, outcome: how, data }) => [path, reason, how, data['put_old']]),
    ).toEqual([['mnt', 'as asked', 'success', 'mnt/old']]);
  });

  it('deeper than is looked at: without its beginning, and it says so', async () => {
    const outcome = await probe.run(
      python,
      [
        '-c',
        `
import os
os.mkdir("deep"); os.chdir("deep")
for i in range(300):
  os.mkdir("d%d" % i); os.chdir("d%d" % i)
os.close(os.open("file", os.O_CREAT | os.O_WRONLY))
os.unlink("file")
`,
      ],
      { spawn: { cwd: folder } },
    );
    expect(outcome.code, outcome.output).toBe(0);
    const [create] = files(outcome, 'create').filter(({ path }) => path.endsWith('/d299/file'));
    expect(create!.path).toMatch(/^…\/d\d+\/.*\/d298\/d299\/file$/);
    expect(create!.reason).toBe('write,create,beginning cut');
    const [unlink] = files(outcome, 'unlink').filter(({ path }) => path.endsWith('/d299/file'));
    expect([unlink!.path.startsWith('…/'), unlink!.reason]).toEqual([true, 'beginning cut']);
    // Paths up to this depth are complete.
    expect(
      files(outcome, 'mkdir')
        .find(({ path }) => path.endsWith('/d100'))!
        .path.startsWith(`${folder}/deep/d0/`),
    ).toBe(true);
  });

  it('whatever the names, links and dots: what is told names what was changed', async () => {
    const asked = fc.sample(
      fc
        .array(fc.constantFrom('a', 'b', 'lnk', '.', '..', '', 'f', 'sub', 'round', 'secret'), { minLength: 1, maxLength: 6 })
        .map((names) => names.join('/').replace(/^\/+/, '')),
      { numRuns: 600, seed: 7 },
    );
    symlinkSync('../../sub', join(folder, 'a/b/round'));
    const outcome = await probe.run(
      python,
      [
        '-c',
        `
import os, json, sys
root = os.getcwd()
for asked in json.load(sys.stdin):
  for path in (asked, root + "/" + asked):
    if not os.path.realpath(path or ".").startswith(root): continue
    try: os.chmod(path, 0o700); print(os.stat(path).st_ino)
    except OSError: pass
`,
      ],
      { spawn: { cwd: folder }, input: JSON.stringify(asked) },
    );
    const witnessed = outcome.output.trim().split('\n').map(Number);
    const told = outcome.seen
      .filter(({ kind, name, outcome: how }) => kind === 'file' && name === 'chmod' && how === 'success')
      .map(({ path }) => statSync(path).ino);
    expect(witnessed.length).toBeGreaterThan(100);
    expect(told).toEqual(witnessed);
  });
});
