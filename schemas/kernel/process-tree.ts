/**
 * Builds the tree of a session's processes from its events in order: parents, executed programs, other acts, and ends. Pure;
 * used by the command and by the page. Tested in process-tree.test.ts.
 *
 * Process ids may be reused: a fork begins a new process regardless of earlier uses of its id. Events of a process whose start
 * is not among the events are at the top, so nothing is left out.
 */
import type { KernelEventInfo } from './event-info.js';
import { LIBRARIES } from './matters.js';

export interface ProcessNode {
  readonly pid: number;
  /** ms of session time; that of the first event if its start was not seen. */
  readonly started: number;
  /** The programs it executed, in order; empty for a copy of its parent. */
  readonly execs: KernelEventInfo[];
  /** Everything else it did. */
  readonly acts: KernelEventInfo[];
  readonly children: ProcessNode[];
  exit: KernelEventInfo | null;
  /** Set by `fold` for a process of the node service's login, which has only the acts after the handover. */
  readonly login?: true;
}

export interface ProcessForest {
  readonly roots: readonly ProcessNode[];
  /** Events of the session that belong to no process: gaps, and the start of recording. */
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
      // The node service, which is not part of the session, forks the session's first process.
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

export interface FoldedForest extends ProcessForest {
  /** Number of events of the node service's login, before anything of the user ran. */
  readonly login: number;
  /** Number of the user's events that are folded by rule. */
  readonly noise: number;
}

/** The text that the node service has su(1) print before the account's shell starts (agent/account.ts). */
export const HANDOVER = 'echo steno-session-started;';
/** Devices whose opening means nothing. This and SERVICE_SOCKETS, which the C library tries to use, are valid in RE2 too. */
export const DULL_DEVICES = '^/dev/(null|tty|zero|full)$';
export const SERVICE_SOCKETS = '^/(var/)?run/nscd/socket$|^/dev/log$';
const dull = new RegExp(DULL_DEVICES);
const asked = new RegExp(SERVICE_SOCKETS);
const libraries = new RegExp(LIBRARIES);

function isDull({ kind, name, path, outcome }: KernelEventInfo): boolean {
  if (kind === 'connect') return outcome === 'ENOENT' && asked.test(path);
  return kind === 'file' && (name === 'digest' || dull.test(path) || (name === 'map' && libraries.test(path)));
}

/** Whether a failed execution is part of a search through folders that later found the program. */
function isSearch(event: KernelEventInfo, execs: readonly KernelEventInfo[]): boolean {
  if (event.kind !== 'file' || event.name !== 'execute' || event.outcome !== 'ENOENT') return false;
  const found = execs.find((exec) => isBefore(event, exec));
  return found !== undefined && [found.path, String(found.data['asked'] ?? '')].some((path) => baseName(path) === baseName(event.path));
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/**
 * The forest as first shown to an investigator: without the node service's login, processes that did nothing but start others,
 * openings of `/dev/null` and the like, system libraries that programs map, and the folders searched before a program was
 * found. The forest itself still contains everything.
 *
 * The login ends when the account's shell takes over: nothing of the user runs before, so nothing can be hidden in it. Later
 * acts of its processes are shown.
 */
export function fold(forest: ProcessForest): FoldedForest {
  const [first] = forest.roots;
  const handover = first === undefined ? null : handoverOf(first);
  let login = 0;
  let noise = 0;
  const before = (event: KernelEventInfo): boolean => handover !== null && isBefore(event, handover);
  /** Computes a node's replacement from its children's replacements. */
  const folded = (node: ProcessNode, children: ProcessNode[]): readonly ProcessNode[] => {
    const execs = node.execs.filter((event) => !before(event));
    const acts = node.acts.filter((event) => !before(event));
    login += node.execs.length + node.acts.length - execs.length - acts.length;
    const shown = acts.filter((event) => !isDull(event) && !isSearch(event, execs));
    noise += acts.length - shown.length;
    if (execs.length + shown.length === 0) return children;
    // A process of the login comes after the user's processes, because its last act is to close the login.
    if (execs.length === 0 && node.execs.length > 0) return [...children, { ...node, acts: shown, children: [], login: true }];
    return [{ ...node, execs, acts: shown, children }];
  };
  // A stack instead of recursion, because the recorded user controls the depth of the tree.
  const roots: ProcessNode[] = [];
  const open: { readonly node: ProcessNode; readonly made: ProcessNode[]; next: number }[] = [];
  for (const root of forest.roots) {
    open.push({ node: root, made: [], next: 0 });
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const child = top.node.children[top.next++];
      if (child !== undefined) {
        open.push({ node: child, made: [], next: 0 });
        continue;
      }
      open.pop();
      (open.at(-1)?.made ?? roots).push(...folded(top.node, top.made));
    }
  }
  return { roots, other: forest.other, login, noise };
}

/** The execution of the account's program: the next one by the process that announced the handover. */
function handoverOf(root: ProcessNode): KernelEventInfo | null {
  for (const child of root.children) {
    const at = child.execs.findIndex(
      ({ data }) => Array.isArray(data['argv']) && data['argv'][1] === '-c' && String(data['argv'][2]).startsWith(HANDOVER),
    );
    if (at >= 0) return child.execs[at + 1] ?? null;
  }
  return null;
}

function isBefore(a: KernelEventInfo, b: KernelEventInfo): boolean {
  const [blockA = 0, indexA = 0] = a.place.split('.').map(Number);
  const [blockB = 0, indexB = 0] = b.place.split('.').map(Number);
  return blockA < blockB || (blockA === blockB && indexA < indexB);
}
