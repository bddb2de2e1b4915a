/**
 * Correlations over a stream of events, one event at a time.
 *
 *     event ─► rules that match it ─► for each correlation and group: occurrence ─► moments at which it holds ─┬─► firings
 *                                                    ▲                                                        │
 *                                                    └────────── occurrence of an outer correlation ◄─────────┘
 *
 * A condition that more occurrences can only satisfy is reported immediately. Any other condition (`lt`, `eq`, averages, `not`) is
 * decided when the stream has passed its moment by `SETTLES_AFTER`, so that events which are late by less than that still count. If a
 * late event makes an earlier moment hold, or adds to the first one, the firing is emitted again: of firings with one key, the earliest
 * `at` counts, then the latest emitted.
 *
 * Groups, occurrences per group and occurrences of all groups are bounded; dropped ones are counted. Tested in detector.test.ts and
 * agreement.test.ts.
 */
import type { EventRow } from '#schemas/events/rows.js';
import { eventId } from '#schemas/events/rows.js';
import { RuleMatcher } from '../matching/matcher.js';
import { RowReader } from '../predicate/field.js';
import type { Program } from '../predicate/field.js';
import { MAX_COUNT } from '../sigma/correlation-plan.js';
import type { CorrelationPlan, EvaluableRule } from '../sigma/correlation-plan.js';
import { GroupWindow, LEAST_LATENESS } from './group.js';
import type { Counters, Holding } from './group.js';
import { bucketOf, firingKey, placeKey } from './occurrence.js';
import type { Occurrence } from './occurrence.js';
import { isMonotone } from './window.js';

export const SETTLES_AFTER = 10_000;
const MAX_EVIDENCE = 100;

export interface Limits {
  readonly groups: number;
  readonly occurrences: number;
  readonly occurrencesOfGroup: number;
}
export const LIMITS: Limits = { groups: 50_000, occurrences: 200_000, occurrencesOfGroup: MAX_COUNT + (MAX_COUNT >> 2) };

export function noCounts(): Counters {
  return { repeated: 0, forgotten: 0, late: 0, skipped: 0 };
}

export interface Firing {
  readonly plan: CorrelationPlan;
  readonly group: readonly string[];
  readonly bucket: number;
  readonly at: number;
  readonly figure: number;
  /** The latest occurrence in the window. */
  readonly last: Occurrence;
  /** Oldest first; the last hundred. */
  readonly evidence: readonly string[];
}

interface Node {
  readonly plan: CorrelationPlan;
  readonly isMonotone: boolean;
  /** Delay after a moment until it is decided. */
  readonly settles: number;
  /** The outer correlations that count this one as a step. */
  readonly outer: { readonly node: Node; readonly step: number; readonly groups: readonly number[]; readonly value: number | null }[];
}

interface Group {
  readonly node: Node;
  readonly values: readonly string[];
  readonly window: GroupWindow;
  /** Moments that are still undecided. */
  readonly open: Set<number>;
}

export class CorrelationStream {
  readonly counters: Counters;
  readonly #nodes: readonly Node[];
  readonly #matcher: RuleMatcher;
  readonly #rules: readonly EvaluableRule[];
  readonly #reader = new RowReader();
  readonly #limits: Limits;
  /** Least recently used group first. */
  readonly #groups = new Map<string, Group>();
  #occurrences = 0;
  /** Ordered by the time at which they are due. */
  readonly #waiting: { readonly due: number; readonly at: number; readonly group: Group }[] = [];
  readonly #recent: number[] = [];
  #arrivals = 0;

  /** `plans`, and the plans that they contain. */
  constructor(plans: readonly CorrelationPlan[], limits: Limits = LIMITS, counters: Counters = noCounts()) {
    this.#limits = limits;
    this.counters = counters;
    this.#nodes = nodesOf(plans);
    const rules = new Set(this.#nodes.flatMap(({ plan }) => plan.steps.flatMap((step) => (step.kind === 'rule' ? [step.rule] : []))));
    this.#rules = [...rules];
    this.#matcher = new RuleMatcher(this.#rules);
  }

  get size(): { readonly groups: number; readonly occurrences: number } {
    return { groups: this.#groups.size, occurrences: this.#occurrences };
  }

  take(row: EventRow, other: Program | null): readonly Firing[] {
    const firings: Firing[] = [];
    const matched = this.#matcher.match(row, other);
    if (matched.length > 0) {
      this.#reader.set(row, other);
      const rules = new Set(matched.map((rule) => this.#rules[rule]!));
      for (const node of this.#nodes) this.#match(node, rules, row, firings);
    }
    this.pass(row.at, firings);
    return firings;
  }

  /** Called when the stream has reached a moment; decides the moments that are now due. */
  pass(moment: number, firings: Firing[] = []): readonly Firing[] {
    // The earliest of the last few, so that one clock that is ahead does not decide anything early.
    this.#recent[this.#arrivals++ % 8] = moment;
    this.#settle(Math.min(...this.#recent), firings);
    return firings;
  }

  /** How long an event affects later answers. */
  get memory(): number {
    const memoryOf = ({ rule, steps }: CorrelationPlan): number => {
      const inner = steps.map((step) => (step.kind === 'correlation' ? memoryOf(step.plan) : 0));
      const { ms } = rule.correlation.timespan;
      return ms + Math.max(ms, LEAST_LATENESS) + SETTLES_AFTER + Math.max(0, ...inner);
    };
    return Math.max(0, ...this.#nodes.map(({ plan }) => memoryOf(plan)));
  }

  /** Called at the end of the stream: decides everything. */
  end(): readonly Firing[] {
    const firings: Firing[] = [];
    this.#settle(Infinity, firings);
    return firings;
  }

  #match(node: Node, rules: ReadonlySet<EvaluableRule>, row: EventRow, firings: Firing[]): void {
    const found = new Map<string, { readonly values: readonly string[]; readonly steps: number[]; readonly value: string }>();
    for (const [i, step] of node.plan.steps.entries()) {
      if (step.kind !== 'rule' || !rules.has(step.rule)) continue;
      const values = step.group.map((field) => this.#reader.text(field));
      if (values.includes('')) continue;
      const key = values.join('\0');
      const known = found.get(key);
      if (known !== undefined) known.steps.push(i);
      else found.set(key, { values, steps: [i], value: step.value === null ? '' : this.#reader.text(step.value) });
    }
    if (found.size === 0) return;
    const { session, user, node: name, login, offset_ms } = row;
    const origin = { session, user, node: name, login, offset_ms };
    for (const { values, steps, value } of found.values()) {
      const occurrence = { at: row.at, key: placeKey(row), steps, value, origin, evidence: [eventId(row)] };
      if (!this.#add(node, values, occurrence, firings)) this.counters.repeated += 1;
    }
  }

  #add(node: Node, values: readonly string[], occurrence: Occurrence, firings: Firing[]): boolean {
    const group = this.#groupOf(node, values);
    const before = group.window.items.length;
    if (!group.window.insert(occurrence)) return false;
    this.#occurrences += group.window.items.length - before;
    if (node.isMonotone) this.#report(group, group.window.after(occurrence), firings);
    else if (occurrence.at + node.settles <= this.#passed()) {
      this.counters.late += 1;
      this.#report(group, group.window.at(occurrence.at), firings);
    } else if (!group.open.has(occurrence.at)) {
      group.open.add(occurrence.at);
      this.#wait(group, occurrence.at);
    }
    this.#forget();
    return true;
  }

  #report(group: Group, holdings: readonly Holding[], firings: Firing[]): void {
    const { node, values } = group;
    for (const { at, figure, window, isFirst } of holdings) {
      const evidence = window.flatMap((one) => one.evidence).slice(-MAX_EVIDENCE);
      const last = window.at(-1)!;
      if (isFirst) firings.push({ plan: node.plan, group: values, bucket: bucketOf(node.plan, at), at, figure, last, evidence });
      for (const { node: outer, step, groups, value } of node.outer) {
        const occurrence = {
          at,
          key: firingKey(node.plan, values, at),
          steps: [step],
          value: value === null ? '' : values[value]!,
          origin: last.origin,
          evidence,
        };
        this.#add(
          outer,
          groups.map((one) => values[one]!),
          occurrence,
          firings,
        );
      }
    }
  }

  #groupOf(node: Node, values: readonly string[]): Group {
    const key = `${this.#nodes.indexOf(node)}\0${values.join('\0')}`;
    const known = this.#groups.get(key);
    const group = known ?? {
      node,
      values,
      window: new GroupWindow(node.plan, node.outer.length > 0, this.#limits.occurrencesOfGroup, this.counters),
      open: new Set<number>(),
    };
    this.#groups.delete(key);
    this.#groups.set(key, group);
    return group;
  }

  #forget(): void {
    while (this.#groups.size > this.#limits.groups || (this.#occurrences > this.#limits.occurrences && this.#groups.size > 1)) {
      const [key, { window, open }] = this.#groups.entries().next().value!;
      this.#groups.delete(key);
      this.#occurrences -= window.items.length;
      this.counters.forgotten += window.items.length;
      open.clear();
    }
  }

  #wait(group: Group, at: number): void {
    const entry = { due: at + group.node.settles, at, group };
    let place = this.#waiting.length;
    while (place > 0 && this.#waiting[place - 1]!.due > entry.due) place -= 1;
    this.#waiting.splice(place, 0, entry);
  }

  #passed(): number {
    return this.#recent.length === 0 ? -Infinity : Math.min(...this.#recent);
  }

  #settle(passed: number, firings: Firing[]): void {
    let done = 0;
    // A decision may queue moments of an outer correlation: those are due later and come after this position.
    for (; done < this.#waiting.length && this.#waiting[done]!.due <= passed; done += 1) {
      const { at, group } = this.#waiting[done]!;
      if (group.open.delete(at)) this.#report(group, group.window.at(at), firings);
    }
    this.#waiting.splice(0, done);
  }
}

/** Inner correlations first. */
function nodesOf(plans: readonly CorrelationPlan[]): readonly Node[] {
  const nodes = new Map<CorrelationPlan, Node>();
  const visit = (plan: CorrelationPlan): Node => {
    const known = nodes.get(plan);
    if (known !== undefined) return known;
    const inner = plan.steps.map((step) => (step.kind === 'correlation' ? visit(step.plan) : null));
    const monotone = isMonotone(plan.rule.correlation);
    const settles = Math.max(0, ...inner.map((one) => one?.settles ?? 0)) + (monotone ? 0 : SETTLES_AFTER);
    const node: Node = { plan, isMonotone: monotone, settles, outer: [] };
    for (const [i, step] of plan.steps.entries())
      if (step.kind === 'correlation') inner[i]!.outer.push({ node, step: i, groups: step.group, value: step.value });
    nodes.set(plan, node);
    return node;
  };
  for (const plan of plans) visit(plan);
  return [...nodes.values()];
}
