/**
 * Every enabled Sigma rule as one detector: the streaming matcher over the events of a session in order, with the programs of parents
 * (../lineage/process-table.ts).
 *
 * Matches of one rule within the same minute are one finding; those of a signal are one finding per session (`actKey`). A rule makes at
 * most `MAX_KEYS` findings in one session; further matches are counted. Tested in sigma.test.ts.
 */
import { eventId } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { actKey } from '../detection/detector.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { ProcessTable } from '../lineage/process-table.js';
import { RuleMatcher } from '../matching/matcher.js';
import { factsOf } from '../sigma/rule-facts.js';
import type { EvaluableRule } from '../sigma/rule-set.js';

const MAX_KEYS = 100;
const MAX_SHOWN = 200;
/** A prime, so that repeating patterns are neither always nor never measured. */
const COST_SAMPLE = 127;

export class SigmaDetector implements Detector {
  readonly name = 'sigma';
  readonly scope = { kind: 'perSession' } as const;
  readonly rules: readonly RuleFacts[];
  readonly #matcher: RuleMatcher;
  readonly #hits = new Map<string, number>();
  readonly #costs = new Map<string, number>();
  #beyond = 0;
  #events = 0;

  constructor(rules: readonly EvaluableRule[]) {
    this.#matcher = new RuleMatcher(rules);
    this.rules = rules.map(({ rule }) => factsOf(rule));
    for (const { id } of this.rules) this.#hits.set(id, 0);
  }

  /** Matches of each rule since the start, by its id. */
  get hits(): ReadonlyMap<string, number> {
    return this.#hits;
  }

  /** Milliseconds spent on each rule since the start, by its id: measured on one event in `COST_SAMPLE` and scaled. */
  get costs(): ReadonlyMap<string, number> {
    return this.#costs;
  }

  get meters(): { readonly hits: ReadonlyMap<string, number>; readonly costs: ReadonlyMap<string, number> } {
    return { hits: this.#hits, costs: this.#costs };
  }

  get beyond(): number {
    return this.#beyond;
  }

  open(): SessionDetector {
    const processes = new ProcessTable();
    const found = new Map<string, Set<string>>();
    return { take: (observation) => this.#take(observation, processes, found) };
  }

  readonly #cost = (rule: number, ms: number): void => {
    const { id } = this.rules[rule]!;
    this.#costs.set(id, (this.#costs.get(id) ?? 0) + ms * COST_SAMPLE);
  };

  #take(observation: Observation, processes: ProcessTable, found: Map<string, Set<string>>): readonly Detection[] {
    if (observation.kind !== 'event') return [];
    const { row } = observation;
    this.#events += 1;
    const matched = this.#matcher.match(row, processes.take(row), this.#events % COST_SAMPLE === 0 ? this.#cost : undefined);
    if (matched.length === 0) return [];
    const detections: Detection[] = [];
    for (const number of matched) {
      const rule = this.rules[number]!;
      const key = actKey(rule, row.offset_ms);
      this.#hits.set(rule.id, (this.#hits.get(rule.id) ?? 0) + 1);
      const keys = found.get(rule.id) ?? new Set();
      found.set(rule.id, keys);
      if (keys.has(key)) continue;
      if (keys.size >= MAX_KEYS) {
        this.#beyond += 1;
        continue;
      }
      keys.add(key);
      detections.push(detectionOf(rule, row, key));
    }
    return detections;
  }
}

function detectionOf(rule: RuleFacts, row: EventRow, key: string): Detection {
  const { session, user, node, login, at, offset_ms } = row;
  return { rule, reason: reasonOf(row), session, user, node, login, at, offset_ms, row: null, evidence: [eventId(row)], key };
}

/** Describes the event with the values that a reader looks for. */
function reasonOf({ kind, name, path, address, port }: EventRow): string {
  const shown = (text: string): string => (text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
  switch (kind) {
    case 'exec':
      return `ran ${shown(name === '' ? path : name)}`;
    case 'file':
      return `${name === '' ? 'touched' : name} ${shown(path)}`;
    case 'connect':
      return `connected to ${address}${port === null ? '' : ` port ${port}`}`;
    case 'dns':
      return `looked up ${shown(name)}`;
    default:
      return [kind, shown(name), shown(path)].filter((part) => part !== '').join(' ');
  }
}
