/**
 * Every rule against a stream of events, one event at a time.
 *
 * Rules are not tried one after the other. Each has triggers (`triggers.ts`): literals of which one is in every event that the rule
 * matches. One pass of an automaton over each field finds the literals that are there, and only their rules are evaluated, whole:
 *
 *     event ─► log sources that take it ─► automaton of each field ─► rules with a trigger found ─► evaluated
 *                                                                  └► rules without triggers ────►
 *
 * Tested in matcher.test.ts; how fast it is: bench/scenarios/detection/sigma.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { eventKinds } from '#schemas/events/kinds.js';
import type { EventKind } from '#schemas/events/kinds.js';
import type { EventRow } from '#schemas/events/rows.js';
import { fieldKey } from '../predicate/field.js';
import type { Field, Program } from '../predicate/field.js';
import { foldPattern, matcherOf } from '../predicate/pattern.js';
import { all, always, any, never, not } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import { LiteralAutomaton } from './automaton.js';
import { EventView, evaluationOf } from './evaluate.js';
import type { Evaluation } from './evaluate.js';
import { foldTrigger, triggersOf } from './triggers.js';
import type { Trigger } from './triggers.js';

/** The events to which a group of rules applies, and their kinds: no event of another kind satisfies `selects`. */
export interface Scope {
  readonly name: string;
  readonly kinds: readonly EventKind[];
  readonly selects: Predicate<Field>;
}

export interface MatchedRule {
  readonly scope: Scope;
  readonly predicate: Predicate<Field>;
}

export const MAX_RULES = 20_000;

/** Letters that triggers contain in their plain form. */
const unfolded = /[\u212a\u017f]/;

export class RuleMatcher {
  readonly #view = new EventView();
  readonly #byKind = new Map<EventKind, ScopeIndex[]>();
  readonly #matched: number[] = [];

  /** Throws RULES_TOO_LARGE. */
  constructor(rules: readonly MatchedRule[]) {
    if (rules.length > MAX_RULES) throw new StenoError('RULES_TOO_LARGE', `${rules.length} rules, where ${MAX_RULES} are allowed`);
    const scopes = new Map<string, { readonly scope: Scope; readonly members: [number, Predicate<Field>][] }>();
    for (const [i, { scope, predicate }] of rules.entries()) {
      const group = scopes.get(scope.name) ?? { scope, members: [] };
      scopes.set(scope.name, group);
      group.members.push([i, predicate]);
    }
    for (const kind of eventKinds) this.#byKind.set(kind, []);
    for (const { scope, members } of scopes.values())
      for (const kind of scope.kinds) this.#byKind.get(kind)!.push(new ScopeIndex(scope, kind, members, this.#view));
  }

  /**
   * The numbers of the matching rules, ascending within each scope. The list is valid until the next call. `other`: the program that
   * the row does not contain (../lineage/process-table.ts); null if unknown. `cost`: called with each evaluated rule and the time that
   * it took.
   */
  match(row: EventRow, other: Program | null = null, cost?: (rule: number, ms: number) => void): readonly number[] {
    const matched = this.#matched;
    matched.length = 0;
    const scopes = this.#byKind.get(row.kind)!;
    if (scopes.length === 0) return matched;
    this.#view.set(row, other);
    for (const scope of scopes) scope.match(this.#view, matched, cost);
    return matched;
  }
}

/** The rules of one scope that events of one kind can match, numbered from 0. */
class ScopeIndex {
  readonly #selects: Evaluation;
  readonly #rules: readonly { readonly number: number; readonly matches: Evaluation }[];
  /** Rules without triggers, which are evaluated for every event. */
  readonly #untriggered: readonly number[];
  readonly #fields: readonly { readonly field: number; readonly automaton: LiteralAutomaton }[];
  /** By literal: the rules that it triggers. */
  readonly #triggered: number[][] = [];
  /**
   * The round in which each literal was last found, and each rule last became a candidate: with this, nothing needs clearing between
   * events.
   */
  readonly #literalRound: Uint32Array;
  readonly #ruleRound: Uint32Array;
  readonly #candidates: number[];
  #round = 0;

  constructor(scope: Scope, kind: EventKind, rules: readonly (readonly [number, Predicate<Field>])[], view: EventView) {
    this.#selects = evaluationOf(ofKind(scope.selects, kind), view);
    const members = rules
      .map(([number, predicate]) => [number, ofKind(predicate, kind)] as const)
      .filter(([, predicate]) => predicate !== never);
    this.#rules = members.map(([number, predicate]) => ({ number, matches: evaluationOf(predicate, view) }));
    const untriggered: number[] = [];
    const fields = new Map<string, { readonly field: Field; readonly literals: Map<string, { literal: Trigger; value: number }> }>();
    for (const [rule, [, predicate]] of members.entries()) {
      const triggers = triggersOf(predicate);
      if (triggers === null) untriggered.push(rule);
      for (const trigger of triggers ?? []) {
        const key = fieldKey(trigger.field);
        const of = fields.get(key) ?? { field: trigger.field, literals: new Map<string, { literal: Trigger; value: number }>() };
        fields.set(key, of);
        const literalKey = `${trigger.start ? '^' : ''}${trigger.text}${trigger.end ? '$' : '.'}${Number(trigger.start)}`;
        const known = of.literals.get(literalKey) ?? { literal: trigger, value: this.#triggered.push([]) - 1 };
        of.literals.set(literalKey, known);
        const rules = this.#triggered[known.value]!;
        if (rules.at(-1) !== rule) rules.push(rule);
      }
    }
    this.#untriggered = untriggered;
    this.#fields = [...fields.values()].map(({ field, literals }) => ({
      field: view.numberOf(field),
      automaton: new LiteralAutomaton([...literals.values()]),
    }));
    this.#literalRound = new Uint32Array(this.#triggered.length);
    this.#ruleRound = new Uint32Array(members.length);
    this.#candidates = [];
  }

  match(view: EventView, matched: number[], cost?: (rule: number, ms: number) => void): void {
    if (!this.#selects(view)) return;
    const candidates = this.#candidates;
    candidates.length = 0;
    this.#round = (this.#round + 1) >>> 0;
    if (this.#round === 0) this.#restart();
    for (const { field, automaton } of this.#fields) {
      const text = view.text(field);
      if (text !== '') automaton.search(unfolded.test(text) ? foldTrigger(text) : text, this.#found);
    }
    for (const rule of this.#untriggered) candidates.push(rule);
    if (candidates.length === 0) return;
    candidates.sort((a, b) => a - b);
    for (const rule of candidates) {
      const { number, matches } = this.#rules[rule]!;
      const began = cost === undefined ? 0 : performance.now();
      if (matches(view)) matched.push(number);
      cost?.(number, performance.now() - began);
    }
  }

  readonly #found = (literal: number): void => {
    const round = this.#round;
    if (this.#literalRound[literal] === round) return;
    this.#literalRound[literal] = round;
    for (const rule of this.#triggered[literal]!) {
      if (this.#ruleRound[rule] === round) continue;
      this.#ruleRound[rule] = round;
      this.#candidates.push(rule);
    }
  };

  /** After 2^32 events an old round could be mistaken for the current one. */
  #restart(): void {
    this.#literalRound.fill(0);
    this.#ruleRound.fill(0);
    this.#round = 1;
  }
}

/** The predicate for events of one kind: its tests of the column `kind` are already decided. */
function ofKind(predicate: Predicate<Field>, kind: EventKind): Predicate<Field> {
  switch (predicate.kind) {
    case 'truth':
      return predicate;
    case 'not':
      return not(ofKind(predicate.of, kind));
    case 'all':
      return all(predicate.of.map((part) => ofKind(part, kind)));
    case 'any':
      return any(predicate.of.map((part) => ofKind(part, kind)));
    case 'test': {
      const { field, test } = predicate;
      if (field.kind !== 'text' || field.column !== 'kind' || test.kind !== 'pattern') return predicate;
      return matcherOf(test.cased ? test.pattern : foldPattern(test.pattern))(kind) ? always : never;
    }
  }
}
