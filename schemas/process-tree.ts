/**
 * The tree of a session's processes, from its events in their order: who started whom, what each became by exec, what it
 * did, how it ended. Pure; used by the command and by the page. Tested in process-tree.test.ts.
 *
 * A process id may come again: a fork begins a new process whatever had its number before. What is done by a process
 * whose beginning is not among the events hangs at the top, so nothing is left out.
 */
import type { KernelEventInfo } from './api.js';

export interface ProcessNode {
  readonly pid: number;
  /** ms of session time; of the first event when its beginning was not seen. */
  readonly started: number;
  /** What it became, in turn; none: a copy of its parent. */
  readonly execs: KernelEventInfo[];
  /** Everything else it did. */
  readonly acts: KernelEventInfo[];
  readonly children: ProcessNode[];
  exit: KernelEventInfo | null;
}

export interface ProcessForest {
  readonly roots: readonly ProcessNode[];
  /** What is of the session and of no process: gaps, and when recording began. */
  readonly other: readonly KernelEventInfo[];
}

export function processForest(events: Iterable<KernelEventInfo>): ProcessForest {
  const roots: ProcessNode[] = [];
  const other: KernelEventInfo[] = [];
  const alive = new Map<number, ProcessNode>();
  const begin = (pid: number, started: number, parent: ProcessNode | undefined): ProcessNode => {
    const node: ProcessNode = { pid, started, execs: [], acts: [], children: [], exit: null };
    (parent === undefined ? roots : parent.children).push(node);
    alive.set(pid, node);
    return node;
  };
  for (const event of events) {
    const pid = event.data['pid'];
    if (typeof pid !== 'number' || event.kind === 'gap' || event.kind === 'kernel') {
      other.push(event);
      continue;
    }
    const child = event.data['child'];
    if (event.kind === 'fork') {
      // The session's first process is forked by the node service, which is none of the session's.
      if (typeof child === 'number') begin(child, event.offset, alive.get(pid));
      continue;
    }
    const parent = event.data['ppid'];
    const node = alive.get(pid) ?? begin(pid, event.offset, typeof parent === 'number' ? alive.get(parent) : undefined);
    if (event.kind === 'exec') node.execs.push(event);
    else if (event.kind === 'exit') {
      node.exit = event;
      alive.delete(pid);
    } else node.acts.push(event);
  }
  return { roots, other };
}
