/**
 * Derives a session's commands from the lines of its screen and the programs that the kernel saw. Pure: the same rows give the same
 * commands.
 *
 * If the shell marks its commands (OSC 133), the marks say what was typed, when it began and how it ended. Otherwise a command line
 * is a line that starts with a prompt. The shape of prompts is learned from lines that name a program which the shell started right
 * afterwards; without kernel events, from prompts that recur. Programs started between two command lines belong to the first.
 *
 * An aid, not a boundary: whoever controls the shell controls its prompt and its marks, and a program can print lines and marks that
 * look typed. The verdict addresses this: a command line whose program nobody started was shown but never ran, and a program that
 * ran without any line naming it is reported as hidden. Neither is concluded while kernel events are missing. Bounded by its input;
 * texts are truncated. Tested in commands.test.ts.
 */
import type { CommandUnit, HiddenProgram } from '#schemas/api/recordings/commands.js';

export interface ShownLine {
  readonly place: string;
  readonly offset: number;
  readonly text: string;
}

/** Kernel events in order. `gap`: events are missing from `offset` to `until`. */
export type Ran =
  | { readonly kind: 'fork'; readonly offset: number; readonly pid: number; readonly child: number }
  | {
      readonly kind: 'exec';
      readonly offset: number;
      readonly pid: number;
      readonly parent: number | null;
      readonly path: string;
      readonly text: string;
    }
  | { readonly kind: 'exit'; readonly offset: number; readonly pid: number; readonly how: string }
  | { readonly kind: 'gap'; readonly offset: number; readonly until: number };

/** The shell's OSC 133 marks in order (recordings/render/screen-index.ts). */
export type Marked =
  | { readonly kind: 'begin'; readonly offset: number; readonly prompt: string; readonly text: string }
  | { readonly kind: 'end'; readonly offset: number; readonly exit: string };

export interface Commands {
  readonly commands: readonly CommandUnit[];
  readonly hidden: readonly HiddenProgram[];
}

/** An event up to this much before a line may still be caused by it: clocks of node and gateway differ, and the echo follows the key. */
const SLACK_MS = 250;
/** A program counts as shown if its name was on the screen within this time before or after it started. */
const NEAR_MS = 5_000;
/** A shell forks the parts of a pipeline one right after the other. */
const PIPELINE_MS = 500;
const MAX_RAN_TOLD = 5;
/** Lines before a mark that are searched for its command line. */
const MAX_LOOKED = 200;
const MAX_HIDDEN = 2_000;
const MAX_TEXT = 1_024;

const promptLine = /^(?<prompt>.{0,120}?[$#%>❯➜»λ])\s(?<text>\S.*)$/u;
const shells = /^-?(ba|z|k|da|a|fi|c|tc|)sh$/;
const builtins = new Set(
  (
    '. : [ [[ alias bg bind break builtin caller case cd command compgen complete compopt continue coproc declare dirs disown do done echo elif else ' +
    'enable esac eval exec exit export false fc fg fi for function getopts hash help history if jobs kill let local logout mapfile popd ' +
    'printf pushd pwd read readarray readonly return rehash select set setopt shift shopt source suspend test then time times trap true type ' +
    'typeset ulimit umask unalias unset until unsetopt wait while'
  ).split(' '),
);

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The start and the last character of a prompt, which do not change with the directory. */
function shapeOf(prompt: string): string {
  return `${/^[^\s:]*/u.exec(prompt)![0].slice(0, 60)} ${[...prompt].at(-1)!}`;
}

/** The first word of each simple command, after any assignments. Commands that begin with a redirection, and quoted text, are ignored. */
export function programsIn(text: string): readonly string[] {
  const bare = text
    .slice(0, MAX_TEXT)
    .replace(/'[^']*'|"[^"]*"/g, 'x')
    .replace(/(^|\s)#.*$/, '');
  return bare.split(/\|\|?|&&?|;|\$\(|`|[(){}\n]/).flatMap((simple) => {
    const words = simple.trim().split(/\s+/);
    const word = words.find((each) => each !== '' && !/^[A-Za-z_]\w*=/.test(each) && each !== '!');
    return word === undefined || /^[<>]/.test(word) ? [] : [baseName(word)];
  });
}

function wordsOf(text: string): ReadonlySet<string> {
  const words = new Set<string>();
  for (const [word] of text.slice(0, MAX_TEXT).matchAll(/[^\s|&;()<>"'`=,]+/gu)) words.add(baseName(word));
  return words;
}

interface Process {
  readonly text: string;
  readonly name: string;
  readonly parent: number | null;
  /** Forked right after a sibling: part of a pipeline, so it does not read from the terminal. */
  readonly piped: boolean;
}

interface Started {
  readonly offset: number;
  readonly pid: number;
  readonly text: string;
  readonly name: string;
  readonly parentText: string;
  /** Started by a shell that reads from the terminal. */
  readonly direct: boolean;
  exit: { readonly offset: number; readonly how: string } | null;
}

/** Lists started programs with their parents, as far as those are known. */
function startedOf(events: readonly Ran[]): readonly Started[] {
  const alive = new Map<number, Process>();
  const last = new Map<number, Started>();
  const forked = new Map<number, { readonly child: number; readonly offset: number }>();
  const started: Started[] = [];
  for (const event of events) {
    if (event.kind === 'fork') {
      const parent = alive.get(event.pid);
      const sibling = forked.get(event.pid);
      const piped = sibling !== undefined && event.offset - sibling.offset <= PIPELINE_MS && alive.has(sibling.child);
      forked.set(event.pid, { child: event.child, offset: event.offset });
      alive.set(event.child, { text: parent?.text ?? '', name: parent?.name ?? '', parent: event.pid, piped });
      last.delete(event.child);
    } else if (event.kind === 'exec') {
      const before = alive.get(event.pid);
      const parentPid = before?.parent ?? event.parent;
      const parent = parentPid === null ? undefined : alive.get(parentPid);
      const name = baseName(event.path);
      const own: Started = {
        ...{ offset: event.offset, pid: event.pid, text: event.text === '' ? event.path : event.text, name, exit: null },
        parentText: parent?.text ?? '',
        direct: parent !== undefined && isTerminalShell(parent),
      };
      alive.set(event.pid, { text: own.text, name, parent: parentPid, piped: before?.piped ?? false });
      last.set(event.pid, own);
      started.push(own);
    } else if (event.kind === 'exit') {
      const own = last.get(event.pid);
      if (own !== undefined) own.exit = { offset: event.offset, how: event.how };
      last.delete(event.pid);
      alive.delete(event.pid);
    }
  }
  return started;
}

/** Whether a process is a shell that reads from its terminal: no command, no script, not part of a pipeline. */
function isTerminalShell({ name, text, piped }: Pick<Process, 'name' | 'text' | 'piped'>): boolean {
  if (piped) return false;
  const [, ...args] = text.split(/\s+/);
  return shells.test(name) && args.every((arg) => /^-{1,2}[a-z-]+$/i.test(arg) && !/^-[a-z]*c[a-z]*$/.test(arg));
}

/** `end`: session time of the last row. */
export function deriveCommands(lines: readonly ShownLine[], events: readonly Ran[], end: number, marks: readonly Marked[] = []): Commands {
  const ordered = [...lines].sort((a, b) => a.offset - b.offset);
  const started = startedOf(events);
  const gaps = events.flatMap((event) => (event.kind === 'gap' ? [event] : []));
  const watched = started.length > 0;
  const candidates = ordered.flatMap((line) => {
    const found = promptLine.exec(line.text)?.groups;
    return found === undefined ? [] : [{ ...line, prompt: found['prompt']!, command: found['text']!.trim() }];
  });
  const direct = started.filter((one) => one.direct);
  const shapes = shapesOf(candidates, direct);
  const marked = markedCommands(marks, ordered);
  const places = new Set(marked.map(({ place }) => place));
  const shown: readonly Shown[] = [
    ...marked,
    ...candidates.flatMap((one) => (shapes.has(shapeOf(one.prompt)) && !places.has(one.place) ? [{ ...one, marked: null }] : [])),
  ].sort((a, b) => a.offset - b.offset);
  const unitAt = (offset: number): number => lastBefore(shown, offset + SLACK_MS);

  const byUnit = new Map<number, Started[]>();
  const counts = new Map<number, number>();
  for (const one of started) {
    const unit = unitAt(one.offset);
    counts.set(unit, (counts.get(unit) ?? 0) + 1);
    if (one.direct) (byUnit.get(unit) ?? byUnit.set(unit, []).get(unit)!).push(one);
  }
  const commands = shown.map(({ offset, place, prompt, command, marked: said }, i): CommandUnit => {
    const until = shown[i + 1]?.offset ?? Math.max(end, offset);
    const direct = byUnit.get(i) ?? [];
    const words = wordsOf(command);
    // A program that the command does not name may have been started in the background meanwhile. An alias names none of its programs.
    const named = direct.filter(({ name, text }) => words.has(name) || words.has(baseName(text.split(/\s/, 1)[0]!)));
    const mine = named.length > 0 ? named : direct;
    const last = mine.at(-1);
    const missing = gaps.some((gap) => gap.offset <= until && gap.until >= offset - SLACK_MS);
    const programs = programsIn(command).filter((name) => !builtins.has(name));
    return {
      ...{ at: offset, until, place, prompt: prompt.slice(0, MAX_TEXT), text: command.slice(0, MAX_TEXT) },
      known: said !== null ? 'marks' : mine.length > 0 ? 'kernel' : 'screen',
      verdict:
        mine.length > 0
          ? 'ran'
          : programs.length === 0
            ? 'builtin'
            : !watched || missing || offset < started[0]!.offset
              ? 'unknown'
              : 'never_ran',
      ran: mine.slice(0, MAX_RAN_TOLD).map(({ text }) => text.slice(0, MAX_TEXT)),
      programs: counts.get(i) ?? 0,
      exit: said?.exit ?? last?.exit?.how ?? null,
      lasted: said?.lasted != null ? said.lasted : last?.exit == null ? null : Math.max(0, last.exit.offset - mine[0]!.offset),
    };
  });
  return { commands, hidden: hiddenOf(started, ordered, shown, unitAt) };
}

interface Candidate extends ShownLine {
  readonly prompt: string;
  readonly command: string;
}

interface Shown extends Candidate {
  /** How the command ended according to the shell; null if the shell did not mark it. */
  readonly marked: { readonly exit: string | null; readonly lasted: number | null } | null;
}

/** Commands that the shell marked, each with its text and the end marked before the next begins. Commands without text are left out. */
function markedCommands(marks: readonly Marked[], ascending: readonly ShownLine[]): readonly Shown[] {
  const used = new Set<string>();
  return marks.flatMap((mark, i): readonly Shown[] => {
    if (mark.kind !== 'begin' || mark.text === '') return [];
    const next = marks[i + 1];
    const end = next?.kind === 'end' ? next : null;
    let line: ShownLine | undefined;
    const last = lastBefore(ascending, mark.offset + SLACK_MS);
    for (let at = last; at >= 0 && at > last - MAX_LOOKED && line === undefined; at--) {
      const { text, place } = ascending[at]!;
      if (text.startsWith(mark.prompt) && text.slice(mark.prompt.length).trim() === mark.text && !used.has(place)) line = ascending[at];
    }
    const place = line?.place ?? `mark ${i}`;
    used.add(place);
    const told =
      end === null
        ? { exit: null, lasted: null }
        : { exit: end.exit === '' ? null : end.exit, lasted: Math.max(0, end.offset - mark.offset) };
    const text = line?.text ?? `${mark.prompt} ${mark.text}`;
    return [
      { place, text, offset: Math.min(line?.offset ?? mark.offset, mark.offset), prompt: mark.prompt, command: mark.text, marked: told },
    ];
  });
}

function shapesOf(candidates: readonly Candidate[], direct: readonly Started[]): ReadonlySet<string> {
  const shapes = new Set<string>();
  for (const one of direct) {
    // However slowly it was typed, the command is the last line before the program started.
    const line = candidates[lastBefore(candidates, one.offset + SLACK_MS)];
    if (line !== undefined && programsIn(line.command).includes(one.name)) shapes.add(shapeOf(line.prompt));
  }
  if (shapes.size > 0 || direct.length > 0) return shapes;
  const often = new Map<string, number>();
  for (const { prompt } of candidates) often.set(shapeOf(prompt), (often.get(shapeOf(prompt)) ?? 0) + 1);
  for (const [shape, times] of often) if ((times > 1 && /[@[]/.test(shape)) || /^\S \S$/u.test(shape)) shapes.add(shape);
  return shapes;
}

/** Index of the last entry at or before `offset`, or -1. */
function lastBefore(ascending: readonly { readonly offset: number }[], offset: number): number {
  let [low, high] = [-1, ascending.length];
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]!.offset <= offset) low = middle;
    else high = middle;
  }
  return low;
}

function hiddenOf(
  started: readonly Started[],
  lines: readonly ShownLine[],
  shown: readonly Candidate[],
  unitAt: (offset: number) => number,
): readonly HiddenProgram[] {
  const rows = new Map<string, { row: HiddenProgram; times: number; last: number }>();
  // The account's shell is the session itself: the first program, or a login shell, whose name begins with a dash.
  const isSession = (one: Started): boolean =>
    one.text.startsWith('-') || (one === started[0] && isTerminalShell({ ...one, piped: false }));
  // Words of the lines within `NEAR_MS`: a window that moves with the programs.
  const near = new Map<string, number>();
  let [from, to] = [0, 0];
  const count = (line: ShownLine, by: 1 | -1): void => {
    for (const word of wordsOf(line.text)) near.set(word, (near.get(word) ?? 0) + by);
  };
  for (const one of [...started].sort((a, b) => a.offset - b.offset)) {
    for (; to < lines.length && lines[to]!.offset <= one.offset + NEAR_MS; to++) count(lines[to]!, 1);
    for (; from < to && lines[from]!.offset < one.offset - NEAR_MS; from++) count(lines[from]!, -1);
    const unit = unitAt(one.offset);
    const command = shown[unit];
    const called = baseName(one.text.split(/\s/, 1)[0]!).replace(/^-/, '');
    const isShown = (name: string): boolean => (near.get(name) ?? 0) > 0 || (command !== undefined && wordsOf(command.command).has(name));
    if (isShown(one.name) || isShown(called) || isSession(one)) continue;
    const key = JSON.stringify([unit, one.text, one.parentText]);
    const known = rows.get(key);
    if (known !== undefined) {
      known.times += 1;
      known.last = one.offset;
    } else if (rows.size < MAX_HIDDEN) {
      const row: HiddenProgram = {
        ...{ at: one.offset, last: one.offset, times: 1, text: one.text.slice(0, MAX_TEXT), by: one.parentText.slice(0, MAX_TEXT) },
        ...{ direct: one.direct, inside: command?.place ?? null },
      };
      rows.set(key, { row, times: 1, last: one.offset });
    }
  }
  return [...rows.values()].map(({ row, times, last }) => ({ ...row, times, last }));
}
