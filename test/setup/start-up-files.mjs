/**
 * Empties root's shell start-up files for the tests, in a mount namespace of their own.
 *
 * Sessions of tests run root's shell on this machine, and its start-up files (version managers, prompts) would run in each
 * of them. That slows every test. It also couples them: a shell killed by one test can leave a lock behind that each later
 * shell waits for, for up to a minute.
 *
 * vitest calls `setup` before it starts its workers, which inherit the namespace. Only root can make one; for other users
 * the start-up files stay.
 */
// @ts-check
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';

/** unshare(2) and mount(2), as in linux/sched.h and linux/mount.h. */
const CLONE_NEWNS = 0x00020000;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_PRIVATE = 0x40000;

/** Start-up files of bash, dash, zsh and ksh in the home folder. */
export const START_UP_FILES = [
  '.bashrc',
  '.bash_profile',
  '.bash_login',
  '.bash_logout',
  '.profile',
  '.kshrc',
  '.zshenv',
  '.zprofile',
  '.zshrc',
  '.zlogin',
];

/** vitest calls `setup` for each of its projects, in one process; once is enough. */
const done = Symbol.for('steno: start-up files are empty');

/** @returns {(() => void) | undefined} what to call after the last test */
export function setup() {
  const { uid, homedir } = userInfo();
  if (Reflect.has(globalThis, done)) return undefined;
  Reflect.set(globalThis, done, true);
  if (process.platform !== 'linux' || uid !== 0) return undefined;
  const files = START_UP_FILES.map((name) => join(homedir, name)).filter((file) => existsSync(file));
  if (files.length === 0) return undefined;
  const libc = koffi.load(null);
  const unshare = libc.func('int unshare(int flags)');
  const mount = libc.func('int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)');
  // Applies to the calling thread, which starts the child processes, so they inherit the namespace.
  if (unshare(CLONE_NEWNS) !== 0) return keep('unshare');
  if (mount(null, '/', null, MS_REC | MS_PRIVATE, null) !== 0) return keep('mount /');
  const folder = mkdtempSync(join(tmpdir(), 'steno-tests-'));
  const empty = join(folder, 'empty');
  writeFileSync(empty, '');
  for (const file of files) if (mount(empty, file, null, MS_BIND, null) !== 0) keep(`mount ${file}`);
  return () => rmSync(folder, { recursive: true, force: true });
}

/** @param {string} call @returns {undefined} */
function keep(call) {
  process.stderr.write(`Shells that the tests start read root's own start-up files (${call}: errno ${koffi.errno()}).\n`);
  return undefined;
}
