/**
 * Keeps session processes as descendants of this one: an orphan is reparented to this process (prctl(2),
 * PR_SET_CHILD_SUBREAPER) rather than to init. The authority can then recognize callers from a session
 * (authority/http/owner-caller.ts) even if they forked twice and called setsid.
 *
 * Ended orphans must be reaped. Children started by Node.js or node-pty are reaped by them, by number and immediately; a
 * process that has been a zombie for a whole period is an orphan. Linux only. Tested in test/agent/orphans.test.ts.
 */
import { readFileSync, readdirSync } from 'node:fs';
import koffi from 'koffi';
import type { Log } from '#runtime/log.js';

const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
const PERIOD_MS = 10_000;

/** Returns a function that stops this. */
export function adoptOrphans(log: Log, periodMs = PERIOD_MS): () => void {
  if (process.platform !== 'linux') return () => undefined;
  const libc = koffi.load(null);
  const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
  const waitpid = libc.func('int waitpid(int pid, void *status, int options)');
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) !== 0) {
    log.warn({ errno: koffi.errno() }, 'cannot adopt orphans of sessions; the owner socket will not recognize them');
    return () => undefined;
  }
  let before: ReadonlySet<string> = new Set();
  const timer = setInterval(() => {
    const now = zombies();
    for (const [pid, id] of now) if (before.has(id)) waitpid(pid, null, WNOHANG);
    before = new Set(now.values());
  }, periodMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  };
}

/** Ended children of this process, with a value that distinguishes processes of the same number. */
function zombies(): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const thread of list('/proc/self/task')) {
    for (const pid of read(`/proc/self/task/${thread}/children`)
      .split(' ')
      .filter((text) => text !== '')) {
      const text = read(`/proc/${pid}/stat`);
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      // State, and start time (fields 3 and 22 of proc(5)).
      if (fields[0] === 'Z') found.set(Number(pid), `${pid} ${fields[19] ?? ''}`);
    }
  }
  return found;
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
