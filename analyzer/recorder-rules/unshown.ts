/**
 * Finds programs that a shell at a terminal started and whose name never appeared on the screen: they came from a startup file, a
 * prompt, a completion, a key binding, or from a user who avoided being read. Decided at the end of the session. Tested in
 * recording.test.ts.
 */
import type { EventRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, SessionDetector } from '../detection/detector.js';
import { basename, shells } from '../normal-form/interpret.js';
import { dataOf, happened, numberAt, perSession, recorderRule } from './recorder-rule.js';

export const unshown = recorderRule(
  'ran-but-not-shown',
  'A program ran that never appeared on the screen',
  'signal',
  'low',
  ['T1564'],
  'Read the process tree of this moment. Start files and prompts of shells do this every day; a name that they do not explain deserves a look.',
);

const MAX_WORDS = 50_000;
const MAX_PROGRAMS = 500;
const MAX_SHELLS = 256;

class ScreenWatch implements SessionDetector {
  #isTerminal = false;
  readonly #words = new Set<string>();
  readonly #shells = new Set<number>();
  readonly #forks = new Map<number, number>();
  readonly #programs = new Map<string, EventRow>();

  take(observation: Observation): readonly Detection[] {
    switch (observation.kind) {
      case 'start':
        this.#isTerminal = observation.session.tty && observation.session.kind === 'shell';
        return [];
      case 'screen':
        if (this.#isTerminal && this.#words.size < MAX_WORDS)
          for (const word of observation.row.text.slice(0, 4_096).split(/[^\w.+-]+/)) if (word !== '') this.#words.add(word);
        return [];
      case 'event':
        if (this.#isTerminal && observation.row.source === 'kernel') this.#event(observation.row);
        return [];
      case 'end':
        return this.#words.size >= MAX_WORDS ? [] : this.#end();
    }
  }

  #event(row: EventRow): void {
    if (row.kind !== 'fork' && row.kind !== 'exec') return;
    const data = dataOf(row);
    const pid = numberAt(data, 'pid');
    if (pid === null) return;
    if (row.kind === 'fork') {
      const child = numberAt(data, 'child');
      if (child !== null && this.#shells.has(pid) && this.#forks.size < 65_536) this.#forks.set(child, pid);
    } else if (row.kind === 'exec' && row.outcome === 'success') {
      const name = basename(row.path);
      const parent = this.#forks.get(pid);
      const isFirst = this.#shells.size === 0 && this.#forks.size === 0;
      if (shells.has(name) && (isFirst || parent !== undefined) && isInteractive(data.argv)) {
        if (this.#shells.size < MAX_SHELLS) this.#shells.add(pid);
      }
      if (parent !== undefined && !this.#programs.has(name) && this.#programs.size < MAX_PROGRAMS) this.#programs.set(name, row);
    }
  }

  #end(): readonly Detection[] {
    return [...this.#programs]
      .filter(([name]) => !this.#words.has(name) && ![...alternatives(name)].some((other) => this.#words.has(other)))
      .map(([name, row]) => happened(unshown, [row], `${row.path} ran, and ${name} was on no line of the screen`, name));
  }
}

/** Other names by which a program is called: `python3` for `python3.11`, `vi` for `vim.basic`. */
function alternatives(name: string): readonly string[] {
  return [name.replace(/[\d.]+$/, ''), name.split('.')[0]!, name.replace(/\.\w+$/, '')].filter((other) => other.length > 1);
}

function isInteractive(argv: unknown): boolean {
  return Array.isArray(argv) && argv.slice(1).every((word) => typeof word === 'string' && /^-(?!.*c)/.test(word));
}

export function unshownDetector(): Detector {
  return perSession('unshown', [unshown], () => new ScreenWatch());
}
