/**
 * The rows of the process tree from top to bottom, and the state of each at a given moment. Pure functions. Tested in
 * process-rows.test.ts.
 */
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { isReading } from '#schemas/kernel/matters.js';
import type { ProcessNode } from '#schemas/kernel/process-tree.js';

export interface ProcessRow {
  readonly key: string;
  readonly depth: number;
  readonly kind: 'process' | 'login' | 'copy' | 'act';
  /** Whether the row continues the process of the row before, which executed another program. */
  readonly again: boolean;
  readonly text: string;
  readonly pid: number;
  /** ms of session time. */
  readonly start: number;
  /** Null: the process runs to the end of the known events. */
  readonly end: number | null;
  /** How the process ended: `0`, `1`, `SIGKILL`; null if unknown. */
  readonly exit: string | null;
}

/** Deeper rows are drawn at this depth, so that a chain of a thousand processes stays on the page. */
export const MAX_DEPTH = 24;

export function processRows(roots: readonly ProcessNode[]): readonly ProcessRow[] {
  const rows: ProcessRow[] = [];
  // A stack instead of recursion: the recorded user controls the depth of the tree.
  const stack: { readonly node: ProcessNode; readonly depth: number }[] = [...roots].reverse().map((node) => ({ node, depth: 0 }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, depth } = next;
    const key = `${node.pid}.${node.started}`;
    const end = node.exit?.offset ?? null;
    const common = { depth: Math.min(depth, MAX_DEPTH), pid: node.pid };
    const exit = node.exit?.name ?? null;
    if (node.login === true) {
      rows.push({ ...common, key, kind: 'login', again: false, text: '', start: node.acts[0]?.offset ?? node.started, end, exit });
    } else if (node.execs.length === 0) {
      rows.push({ ...common, key, kind: 'copy', again: false, text: '', start: node.started, end, exit });
    } else {
      node.execs.forEach((exec, i) => {
        const following = node.execs[i + 1];
        rows.push({
          ...common,
          key: `${key}.${exec.place}`,
          kind: 'process',
          again: i > 0,
          text: exec.name === '' ? exec.path : exec.name,
          start: exec.offset,
          end: following?.offset ?? end,
          exit: following === undefined ? exit : null,
        });
      });
    }
    for (const act of node.acts)
      if (isNotable(act))
        rows.push({
          ...common,
          depth: Math.min(depth + 1, MAX_DEPTH),
          key: `act ${act.place}`,
          kind: 'act',
          again: false,
          text: `${actText(act)} ${act.path}`.trim(),
          start: act.offset,
          end: null,
          exit: null,
        });
    for (const child of [...node.children].reverse()) stack.push({ node: child, depth: depth + 1 });
  }
  return rows;
}

export type Phase = 'before' | 'now' | 'over';

/** The state at `position` of something that runs from `start` to `end`. */
export function phaseOf({ start, end }: { readonly start: number; readonly end: number | null }, position: number): Phase {
  if (start > position) return 'before';
  return end !== null && end <= position ? 'over' : 'now';
}

/** The row to keep in sight at `position`: the last one that has begun. Null if none has. */
export function latestRow(rows: readonly { readonly start: number }[], position: number): number | null {
  let found: number | null = null;
  for (let i = 0; i < rows.length; i++) {
    const { start } = rows[i]!;
    if (start <= position && (found === null || start >= rows[found]!.start)) found = i;
  }
  return found;
}

/** Escapes from the session, and the opening of files that matter. */
export const isNotable = ({ kind, data }: KernelEventInfo): boolean => kind === 'escape' || data['matters'] !== undefined;

export function actText({ kind, name, reason, data }: KernelEventInfo): string {
  if (kind === 'escape') return `escape through ${reason}`;
  return `${isReading(reason) ? 'read' : name} (${String(data['matters'])})`;
}

/** Everything that the processes did, in order of time. */
export function actsOf(roots: readonly ProcessNode[]): readonly KernelEventInfo[] {
  const acts: KernelEventInfo[] = [];
  const stack = [...roots];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    acts.push(...node.acts);
    stack.push(...node.children);
  }
  return acts.sort((a, b) => a.offset - b.offset);
}

export interface Repeated {
  readonly event: KernelEventInfo;
  readonly times: number;
  /** Offset of the last repetition. */
  readonly last: number;
}

/** Folds repetitions of the same action on the same object into one row, at the time of the first. */
export function foldRepeats(events: readonly KernelEventInfo[]): readonly Repeated[] {
  const rows = new Map<string, { event: KernelEventInfo; times: number; last: number }>();
  for (const event of events) {
    const { kind, name, path, address, port, outcome, reason } = event;
    const key = JSON.stringify([kind, name, path, address, port, outcome, kind === 'file' ? '' : reason]);
    const known = rows.get(key);
    const times = Math.max(1, event.count ?? 1);
    if (known === undefined) rows.set(key, { event, times, last: event.offset });
    else {
      known.times += times;
      known.last = event.offset;
    }
  }
  return [...rows.values()];
}
