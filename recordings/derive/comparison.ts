/**
 * Compares two sessions by their commands (commands.ts) and the lines of their screens. Pure. Commands are aligned by their text,
 * ignoring differences in blanks; two commands in the same place that run the same program count as one command with other
 * arguments. The output of a command is the lines from its own line to the next command's.
 *
 * An aid, not a boundary: commands are those that a replay shows, and lines are in their final state on the screen. Bounded: commands
 * per side, lines per command and lines in all are limited; the rest is counted or marked as cut. Alignment takes time quadratic in
 * the number of edits; with more than `MAX_EDITS`, all of one side comes before all of the other, between the common start and
 * end. Tested in comparison.test.ts.
 */
import { diffArrays } from 'diff';
import type { ComparedCommand, ComparedRow, OutputLine } from '#schemas/api/recordings/compare.js';
import type { CommandUnit } from '#schemas/api/recordings/commands.js';
import { programsIn } from './commands.js';
import type { ShownLine } from './commands.js';

export interface ComparedSession {
  /** In order. */
  readonly commands: readonly CommandUnit[];
  readonly lines: readonly ShownLine[];
}

/** Most commands per side that are compared. */
export const MAX_COMPARED = 1_000;
/** Longest output that is compared, in lines. */
const MAX_OUTPUT = 400;
/** Most edits in an alignment of commands, and of the lines of one output. */
const MAX_EDITS = { commands: 400, lines: 120 } as const;
/** Most lines in the result per command, and in all. */
const MAX_TOLD = 60;
const MAX_TOLD_ALL = 4_000;
/** Lines of context around a difference. */
const AROUND = 2;
const MAX_TEXT = 1_024;

export function compared(left: ComparedSession, right: ComparedSession): readonly ComparedRow[] {
  const [lefts, rights] = [withOutput(left), withOutput(right)];
  let room = MAX_TOLD_ALL;
  return aligned(lefts, rights).map(({ kind, left: a, right: b }): ComparedRow => {
    const [one, other] = [a === null ? null : told(a.command), b === null ? null : told(b.command)];
    if (a === null || b === null) return { kind, left: one, right: other, output: 'one', lines: [], more: 0 };
    const difference = outputDifference(a.output, b.output, Math.min(MAX_TOLD, room));
    room -= difference.lines.length;
    return { kind, left: one, right: other, ...difference };
  });
}

interface Unit {
  readonly command: CommandUnit;
  readonly output: readonly string[];
}
interface Pair {
  readonly kind: ComparedRow['kind'];
  readonly left: Unit | null;
  readonly right: Unit | null;
}

function told({ at, text, exit, lasted }: CommandUnit): ComparedCommand {
  return { at, text: text.slice(0, MAX_TEXT), exit, lasted };
}

/** Assigns lines to commands. Both are in the order of the screen; a line belongs to the last command that began before it. */
function withOutput({ commands, lines }: ComparedSession): readonly Unit[] {
  const own = new Set(commands.map(({ place }) => place));
  const printed = [...lines].filter(({ place }) => !own.has(place)).sort((a, b) => a.offset - b.offset);
  let next = 0;
  return commands.slice(0, MAX_COMPARED).map((command) => {
    while (next < printed.length && printed[next]!.offset < command.at) next += 1;
    const from = next;
    while (next < printed.length && printed[next]!.offset < command.until) next += 1;
    return { command, output: printed.slice(from, next).map(({ text }) => text) };
  });
}

const normal = (text: string): string => text.trim().replace(/\s+/g, ' ');

function aligned(lefts: readonly Unit[], rights: readonly Unit[]): readonly Pair[] {
  const pairs: Pair[] = [];
  let [i, j] = [0, 0];
  let [gone, come]: [Unit[], Unit[]] = [[], []];
  const flush = (): void => {
    pairs.push(...replaced(gone, come));
    [gone, come] = [[], []];
  };
  const keys = (units: readonly Unit[]): string[] => units.map(({ command }) => normal(command.text));
  for (const { added, removed, count } of edits(keys(lefts), keys(rights), MAX_EDITS.commands)) {
    if (removed) gone.push(...lefts.slice(i, (i += count)));
    else if (added) come.push(...rights.slice(j, (j += count)));
    else {
      flush();
      for (let n = 0; n < count; n++) pairs.push({ kind: 'same', left: lefts[i++]!, right: rights[j++]! });
    }
  }
  flush();
  return pairs;
}

/** Pairs the commands between two common ones: both sides in order, and two commands of the same program as one changed command. */
function replaced(gone: readonly Unit[], come: readonly Unit[]): readonly Pair[] {
  const pairs: Pair[] = [];
  const program = ({ command }: Unit): string => programsIn(command.text)[0] ?? '';
  let j = 0;
  for (const left of gone) {
    const found = come.findIndex((right, at) => at >= j && program(left) !== '' && program(right) === program(left));
    if (found < 0) {
      pairs.push({ kind: 'left', left, right: null });
      continue;
    }
    for (const right of come.slice(j, found)) pairs.push({ kind: 'right', left: null, right });
    pairs.push({ kind: 'changed', left, right: come[found]! });
    j = found + 1;
  }
  for (const right of come.slice(j)) pairs.push({ kind: 'right', left: null, right });
  return pairs;
}

type Difference = Pick<ComparedRow, 'output' | 'lines' | 'more'>;

function outputDifference(left: readonly string[], right: readonly string[], room: number): Difference {
  if (left.length === right.length && left.every((line, i) => line === right[i])) return { output: 'same', lines: [], more: 0 };
  if (left.length > MAX_OUTPUT || right.length > MAX_OUTPUT || room <= 0) return { output: 'cut', lines: [], more: 0 };
  const all = edits(left, right, MAX_EDITS.lines).flatMap(({ added, removed, value }) =>
    value.map((text): OutputLine => ({ side: removed ? 'left' : added ? 'right' : 'both', text: text.slice(0, MAX_TEXT) })),
  );
  const near = (i: number): boolean => all.slice(Math.max(0, i - AROUND), i + AROUND + 1).some(({ side }) => side !== 'both');
  const kept = all.filter((_, i) => near(i));
  const lines = kept.slice(0, room);
  return { output: 'differs', lines, more: kept.slice(room).filter(({ side }) => side !== 'both').length };
}

interface Edit {
  readonly added: boolean;
  readonly removed: boolean;
  readonly count: number;
  readonly value: readonly string[];
}

function edits(left: readonly string[], right: readonly string[], maxEdits: number): readonly Edit[] {
  const least = Math.min(left.length, right.length);
  let head = 0;
  while (head < least && left[head] === right[head]) head += 1;
  let tail = 0;
  while (tail < least - head && left[left.length - 1 - tail] === right[right.length - 1 - tail]) tail += 1;
  const [gone, come] = [left.slice(head, left.length - tail), right.slice(head, right.length - tail)];
  const edit = (value: readonly string[], kind: 'added' | 'removed' | 'both'): Edit => ({
    ...{ added: kind === 'added', removed: kind === 'removed' },
    ...{ count: value.length, value },
  });
  const middle = diffArrays(gone, come, { maxEditLength: maxEdits }) ?? [edit(gone, 'removed'), edit(come, 'added')];
  return [edit(left.slice(0, head), 'both'), ...middle, edit(left.slice(left.length - tail), 'both')].filter(({ count }) => count > 0);
}
