/**
 * Prints the process tree of a session: each program, below it its actions in order, then the processes that it started. On a
 * terminal, long lines are wrapped and indented. Tested in tree.test.ts.
 */
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { fold, processForest } from '#schemas/kernel/process-tree.js';
import type { ProcessNode } from '#schemas/kernel/process-tree.js';
import { standardOutput, styled, visible } from '../../terminal/output.js';
import { displayWidth } from '../../terminal/width.js';
import { wrap } from '../../terminal/wrap.js';
import { describe, execution, time } from './describe.js';

const ESCAPED_LINES = /\r?\n/;

/** `all`: also the login itself, and processes that did nothing but start others. */
export function printTree(events: readonly KernelEventInfo[], all: boolean): void {
  const { out } = standardOutput;
  for (const line of treeLines(events, all, out.isTTY === true ? (out.columns ?? 80) : Number.POSITIVE_INFINITY)) out.write(`${line}\n`);
}

export function treeLines(events: readonly KernelEventInfo[], all: boolean, columns: number): readonly string[] {
  const { out, env } = standardOutput;
  const dim = (text: string): string => styled(out, env, 'dim', text);
  const lines: string[] = [];
  /** `first` is the prefix of the first line, `rest` of continuation lines. */
  const add = (offset: number, first: string, rest: string, text: string): void => {
    const at = time(offset).padStart(9);
    const before = displayWidth(at) + 2 + Math.max(displayWidth(first), displayWidth(rest));
    const [begin = '', ...more] = wrap(text.split(ESCAPED_LINES).join(' '), columns - before);
    lines.push(`${dim(at)}  ${dim(first)}${begin}`);
    for (const line of more) lines.push(`${' '.repeat(at.length)}  ${dim(rest)}${line}`);
  };
  const forest = processForest(events);
  const { roots, other, login } = all ? { ...forest, login: 0 } : fold(forest);
  if (login > 0) add(0, '', '', dim(`login by the node service: ${login} events, see them with --all`));
  for (const event of other) add(event.offset, '', '  ', describe(event));
  const print = (node: ProcessNode, first: string, rest: string): void => {
    const [begin] = node.execs;
    const failed = node.exit === null || node.exit.outcome === 'success' ? '' : `  ${styled(out, env, 'red', visible(node.exit.name))}`;
    const title =
      node.login === true ? dim('(the login by the node service)') : begin === undefined ? dim('(a copy of its parent)') : execution(begin);
    // The process's actions are directly below its line; its children follow on the same branch.
    const below = `${rest}${node.children.length > 0 ? '│ ' : '  '}`;
    add(
      node.login === true ? node.acts[0]!.offset : (begin?.offset ?? node.started),
      first,
      `${below}  `,
      `${title}${failed} ${dim(`[${node.pid}]`)}`,
    );
    for (const event of node.login === true ? node.acts : inTurn(node)) {
      const became = event.kind === 'exec';
      add(event.offset, `${below}${became ? '→ ' : '· '}`, `${below}    `, became ? execution(event) : describe(event));
    }
    node.children.forEach((child, i) => {
      const last = i === node.children.length - 1;
      print(child, `${rest}${last ? '└─ ' : '├─ '}`, `${rest}${last ? '   ' : '│  '}`);
    });
  };
  for (const root of roots) print(root, '', '');
  return lines;
}

/** Lists a process's acts in order, each below the program that it was executing at the time. */
function inTurn({ execs, acts }: ProcessNode): readonly KernelEventInfo[] {
  return [...execs.slice(1), ...acts].sort((a, b) => {
    const [blockA = 0, indexA = 0] = a.place.split('.').map(Number);
    const [blockB = 0, indexB = 0] = b.place.split('.').map(Number);
    return blockA - blockB || indexA - indexB;
  });
}
