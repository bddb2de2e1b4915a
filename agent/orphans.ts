/**
 * Processes of sessions stay descendants of this one: whoever loses its parent gets this process for one (prctl(2),
 * PR_SET_CHILD_SUBREAPER), where it would get the init of the machine. So the authority can tell what comes from a session
 * (authority/http/owner-caller.ts) although it forked twice and began a session of its own.
 *
 * An orphan that ends has to be waited for. Children that Node.js or node-pty started are waited for by them, by number and
 * at once; what has been a zombie for a whole period is nobody's but ours. Linux only. Tested in test/agent/orphans.test.ts.
 */
import { readFileSync, readdirSync } from 'node:fs';
import koffi from 'koffi';
import type { Log } from '#runtime/log.js';

const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
const PERIOD_MS = 10_000;

/** Answers how to stop. */
export function adoptOrphans(log: Log, periodMs = PERIOD_MS): () => void {
  if (process.platform !== 'linux') return () => undefined;
  const libc = koffi.load(null);
  const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
  const waitpid = libc.func('int waitpid(int pid, void *status, int options)');
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) !== 0) {
    log.warn({ errno: koffi.errno() }, 'orphans of sessions cannot be adopted; the owner socket will not recognise them');
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

/** Children of this process that have ended, with what tells one from another of the same number. */
function zombies(): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const thread of list('/proc/self/task')) {
    for (const pid of read(`/proc/self/task/${thread}/children`)
      .split(' ')
      .filter((text) => text !== '')) {
      const text = read(`/proc/${pid}/stat`);
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      // State, and the time it started (fields 3 and 22 of proc(5)).
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
