/**
 * Applies rules about programs and files to command lines for which there are no kernel events: lines typed behind a prompt, the
 * command of a session, and scripts with which a shell was started. Matches carry the rule's own id; a match that the kernel also shows
 * is the same finding, by its key.
 *
 * A line of a screen is read when something else appears: until then it may still be edited. Tested in detector.test.ts.
 */
import { eventId, noFacts } from '#schemas/events/rows.js';
import type { EventRow, ScreenRow } from '#schemas/events/rows.js';
import { actKey } from '../detection/detector.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { RuleMatcher } from '../matching/matcher.js';
import type { MatchedRule } from '../matching/matcher.js';
import { shells, basename } from '../normal-form/interpret.js';
import { rowsOfLine } from './line-rows.js';
import { typedCommand } from './typed-line.js';

export interface LineRule extends MatchedRule {
  readonly facts: RuleFacts;
}

/** Lines that are remembered, so that a line that scrolls is read once. */
const MAX_LINES = 4_096;

/** Since the start. `lines`: number of lines examined. */
interface LineMeters {
  readonly hits: Map<string, number>;
  readonly costs: Map<string, number>;
  lines: number;
}

/** One line in this many is measured; a prime, so that repeating patterns are neither always nor never measured. */
const COST_SAMPLE = 13;

export function lineDetector(rules: readonly LineRule[]): Detector {
  const matcher = new LineMatcher(rules);
  const meters: LineMeters = { hits: new Map(), costs: new Map(), lines: 0 };
  return {
    name: 'lines',
    rules: rules.map(({ facts }) => facts),
    scope: { kind: 'perSession' },
    meters,
    open: () => new LineReader(rules, matcher, meters),
  };
}

interface Source {
  readonly line: string;
  readonly row: EventRow | ScreenRow;
  readonly shown: boolean;
}

class LineReader implements SessionDetector {
  readonly #rules: readonly LineRule[];
  readonly #matcher: LineMatcher;
  readonly #meters: LineMeters;
  readonly #read = new Set<string>();
  #cols = 0;
  #held: ScreenRow | null = null;

  constructor(rules: readonly LineRule[], matcher: LineMatcher, meters: LineMeters) {
    this.#rules = rules;
    this.#matcher = matcher;
    this.#meters = meters;
  }

  take(observation: Observation): readonly Detection[] {
    switch (observation.kind) {
      case 'start':
        this.#cols = observation.session.cols;
        return [];
      case 'end':
        return this.#release();
      case 'event':
        return this.#event(observation.row);
      case 'screen':
        return this.#screen(observation.row);
    }
  }

  #event(row: EventRow): readonly Detection[] {
    if (row.kind !== 'exec') return [];
    if (row.source === 'recording') return this.#examine({ line: row.name, row, shown: false });
    if (row.source !== 'kernel' || !shells.has(basename(row.path))) return [];
    const script = scriptOf(row.data);
    return script === undefined ? [] : this.#examine({ line: script, row, shown: false });
  }

  #screen(row: ScreenRow): readonly Detection[] {
    const held = this.#held;
    if (held !== null) {
      const isLonger = row.row === held.row && row.text.startsWith(held.text.trimEnd());
      const isWrapped = this.#cols > 0 && row.row === held.row + 1 && held.text.length % this.#cols === 0 && held.text.length < 8_192;
      if (isLonger || isWrapped) {
        this.#held = isLonger ? row : { ...held, text: held.text + row.text };
        return [];
      }
    }
    const found = this.#release();
    if (typedCommand(row.text) !== undefined) this.#held = row;
    return found;
  }

  #release(): readonly Detection[] {
    const held = this.#held;
    this.#held = null;
    const line = held === null ? undefined : typedCommand(held.text);
    return line === undefined ? [] : this.#examine({ line, row: held!, shown: true });
  }

  #examine({ line, row, shown }: Source): readonly Detection[] {
    if (line === '' || this.#read.has(line)) return [];
    if (this.#read.size >= MAX_LINES) this.#read.clear();
    this.#read.add(line);
    const { session, user, node, login, at, offset_ms, block, index } = row;
    const base: EventRow = {
      session,
      source: 'kernel',
      emitter: '',
      block,
      index,
      at,
      offset_ms,
      kind: 'exec',
      user,
      node,
      login,
      ...noFacts,
    };
    const { hits, costs } = this.#meters;
    this.#meters.lines += 1;
    const cost = (rule: number, ms: number): void => {
      const { id } = this.#rules[rule]!.facts;
      costs.set(id, (costs.get(id) ?? 0) + ms * COST_SAMPLE);
    };
    const matched = this.#matcher.match(line, base, this.#meters.lines % COST_SAMPLE === 0 ? cost : undefined);
    return [...matched].map((number) => {
      const { facts } = this.#rules[number]!;
      hits.set(facts.id, (hits.get(facts.id) ?? 0) + 1);
      return {
        rule: facts,
        reason: `${facts.title}: ${line.length > 200 ? `${line.slice(0, 200)}…` : line}`,
        session, user, node, login, at, offset_ms,
        row: shown ? (row as ScreenRow).row : null,
        evidence: shown ? [] : [eventId(row as EventRow)],
        key: actKey(facts, offset_ms),
      }; // prettier-ignore
    });
  }
}

/** Applies rules to one line, as a shell would receive it. */
export class LineMatcher {
  readonly #matcher: RuleMatcher;

  constructor(rules: readonly MatchedRule[]) {
    this.#matcher = new RuleMatcher(rules);
  }

  /** The numbers of the rules that match a program started by the line. `base`: whose line it is, and when. */
  match(line: string, base: EventRow, cost?: (rule: number, ms: number) => void): ReadonlySet<number> {
    const rows = rowsOfLine(line, base);
    // The line itself as the command line of its first program, for rules about a whole pipeline.
    const path = rows.find(({ row }) => row.kind === 'exec')?.row.path ?? '';
    const whole: EventRow = { ...base, kind: 'exec', path, name: line.slice(0, 4_096), outcome: 'success' };
    return new Set([{ row: whole, other: null }, ...rows].flatMap(({ row, other }) => [...this.#matcher.match(row, other, cost)]));
  }
}

/** The script of `sh -c SCRIPT`. */
function scriptOf(data: string): string | undefined {
  let argv: unknown;
  try {
    argv = (JSON.parse(data) as { readonly argv?: unknown }).argv;
  } catch {
    return undefined;
  }
  if (!Array.isArray(argv)) return undefined;
  const at = argv.findIndex((word, i) => i > 0 && typeof word === 'string' && /^-[a-zA-Z]*c$/.test(word));
  const script: unknown = at > 0 ? argv[at + 1] : undefined;
  return typeof script === 'string' ? script : undefined;
}
