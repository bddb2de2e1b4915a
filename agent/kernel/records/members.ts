/**
 * Which processes belong to which session, derived from the records in order: a fork adds, an exit removes. The BPF programs
 * (agent/bpf) know this by themselves; this is for records that give only a number, such as `/proc/PID/mem`. Tested in
 * members.test.ts.
 */
import { kinds } from './record.js';
import type { KernelRecord } from './record.js';

export class Members {
  readonly #sessions = new Map<number, Set<number>>();

  take(record: KernelRecord): void {
    const { session, kind, pid } = record;
    const known = this.#sessions.get(session);
    if (kind === kinds.exit) {
      known?.delete(pid);
      if (known?.size === 0) this.#sessions.delete(session);
      return;
    }
    const child = kind === kinds.fork ? record.a : kind === kinds.exec ? pid : 0;
    if (child === 0) return;
    if (known === undefined) this.#sessions.set(session, new Set([child]));
    else known.add(child);
  }

  has(session: number, pid: number): boolean {
    return this.#sessions.get(session)?.has(pid) ?? false;
  }
}
