/**
 * Turns a correlation, which names rules and fields, into a plan that can be evaluated: each rule is looked up, and each field of
 * `group-by` is mapped onto the log source of each rule. A correlation can be a step of another one through its groups. Tested in
 * correlation.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { Field } from '../predicate/field.js';
import type { Predicate } from '../predicate/predicate.js';
import type { Source } from '../sources/source.js';
import type { Correlation } from './correlation.js';
import type { CorrelationRule, DetectionRule, SigmaDocument } from './rule.js';

type Rule = DetectionRule | CorrelationRule;

/** A rule that can be evaluated: `scope` and `predicate` are shared by its two forms. */
export interface EvaluableRule {
  readonly rule: DetectionRule;
  readonly scope: Source;
  readonly predicate: Predicate<Field>;
}

/** One of the rules that a correlation names, with the locations of the values of a match: `value` is null for types that use none. */
export type Step =
  | { readonly kind: 'rule'; readonly rule: EvaluableRule; readonly group: readonly Field[]; readonly value: Field | null }
  /** Indexes of the inner correlation's own groups. */
  | { readonly kind: 'correlation'; readonly plan: CorrelationPlan; readonly group: readonly number[]; readonly value: number | null };

export interface CorrelationPlan {
  readonly rule: CorrelationRule;
  readonly steps: readonly Step[];
  /** Indexes of the groups that are a session's id. With one, the correlation never looks beyond a session. */
  readonly sessionGroups: readonly number[];
}

/** The largest number that a count can be compared with: windows hold no more occurrences. */
export const MAX_COUNT = 10_000;
const MAX_NESTED = 8;

interface Planned {
  readonly plans: readonly CorrelationPlan[];
  readonly lacking: readonly { readonly rule: CorrelationRule; readonly missing: readonly string[] }[];
  readonly silent: ReadonlySet<Rule>;
  readonly faults: readonly StenoError[];
}

interface Known {
  readonly evaluable: readonly EvaluableRule[];
  readonly lacking: readonly { readonly rule: Rule; readonly missing: readonly string[] }[];
}

export function planCorrelations(rules: readonly Rule[], known: Known): Planned {
  const faults: StenoError[] = [];
  const generates = new Map<Rule, boolean>();
  const made = new Map<CorrelationRule, CorrelationPlan | readonly string[]>();

  const planOf = (rule: CorrelationRule, open: readonly CorrelationRule[]): CorrelationPlan | readonly string[] => {
    const done = made.get(rule);
    if (done !== undefined) return done;
    if (open.includes(rule)) return ['itself: it names a correlation that names it'];
    if (open.length >= MAX_NESTED) return [`more than ${MAX_NESTED} correlations inside one another`];
    const plan = planned(rule, [...open, rule]);
    if (!open.includes(rule)) made.set(rule, plan);
    return plan;
  };

  const planned = (rule: CorrelationRule, open: readonly CorrelationRule[]): CorrelationPlan | readonly string[] => {
    const { correlation } = rule;
    const missing = new Set<string>(correlation.bounds.some(({ value }) => counts(correlation) && value > MAX_COUNT) ? [tooMany] : []);
    const steps = correlation.rules.flatMap((name): Step[] => {
      const named = rules.find((other) => isNamed(other, name));
      if (named === undefined) {
        missing.add(`rule ${JSON.stringify(name)}`);
        return [];
      }
      const step = named.kind === 'rule' ? ofRule(correlation, name, named, known) : ofInner(correlation, name, planOf(named, open));
      if ('kind' in step) return [step];
      for (const one of step) missing.add(one);
      return [];
    });
    if (missing.size > 0) return [...missing];
    return { rule, steps, sessionGroups: sessionGroupsOf(steps) };
  };

  for (const rule of rules) {
    if (rule.kind !== 'correlation') continue;
    const names = rule.correlation.rules;
    const unknown = names.find((name) => !rules.some((other) => isNamed(other, name)));
    if (unknown !== undefined) faults.push(unknownRule(rule, unknown));
    for (const named of rules.filter((other) => names.some((name) => isNamed(other, name))))
      generates.set(named, (generates.get(named) ?? false) || rule.correlation.generate);
    planOf(rule, []);
  }
  const all = [...made].sort(([a], [b]) => rules.indexOf(a) - rules.indexOf(b));
  return {
    plans: all.flatMap(([, plan]) => ('steps' in plan ? [plan] : [])),
    lacking: all.flatMap(([rule, missing]) => ('steps' in missing ? [] : [{ rule, missing }])),
    silent: new Set([...generates].flatMap(([rule, generate]) => (generate ? [] : [rule]))),
    faults,
  };
}

const tooMany = `a count of more than ${MAX_COUNT}, the most that is kept of one group`;

function counts({ type }: Correlation): boolean {
  return type === 'event_count' || type === 'value_count';
}

function ofRule(correlation: Correlation, name: string, named: DetectionRule, known: Known): Step | readonly string[] {
  const rule = known.evaluable.find((one) => one.rule === named);
  if (rule === undefined) {
    const missing = known.lacking.find((one) => one.rule === named)?.missing ?? [];
    return [`rule ${name}, which lacks ${missing.join('; ')}`];
  }
  const missing: string[] = [];
  const fieldOf = (asked: string): Field => {
    const field = aliased(correlation, name, asked);
    const found = Object.hasOwn(rule.scope.fields, field) ? rule.scope.fields[field]! : undefined;
    if (found === undefined) missing.push(`field ${field} of ${rule.scope.name}`);
    else if (found.kind === 'cases')
      missing.push(`values of field ${field} of ${rule.scope.name}${field === 'User' ? '; there are SessionUser and SessionLogin' : ''}`);
    else return found;
    return { kind: 'text', column: 'session' };
  };
  const group = correlation.groupBy.map(fieldOf);
  const value = correlation.field === '' ? null : fieldOf(correlation.field);
  return missing.length > 0 ? missing : { kind: 'rule', rule, group, value };
}

function ofInner(correlation: Correlation, name: string, inner: CorrelationPlan | readonly string[]): Step | readonly string[] {
  if (!('steps' in inner)) return [`correlation ${name}, which lacks ${inner.join('; ')}`];
  const groups = inner.rule.correlation.groupBy;
  const missing: string[] = [];
  const numberOf = (asked: string): number => {
    const field = aliased(correlation, name, asked);
    if (!groups.includes(field)) missing.push(`field ${field} of correlation ${name}, which has ${groups.join(', ') || 'none'}`);
    return groups.indexOf(field);
  };
  const group = correlation.groupBy.map(numberOf);
  const value = correlation.field === '' ? null : numberOf(correlation.field);
  return missing.length > 0 ? missing : { kind: 'correlation', plan: inner, group, value };
}

/** The field of this rule to which a field of the correlation refers. */
function aliased({ aliases }: Correlation, rule: string, asked: string): string {
  return aliases.get(asked)?.get(rule) ?? asked;
}

function sessionGroupsOf(steps: readonly Step[]): readonly number[] {
  const isSession = (step: Step, i: number): boolean => {
    if (step.kind === 'correlation') return step.plan.sessionGroups.includes(step.group[i]!);
    const field = step.group[i]!;
    return field.kind === 'text' && field.column === 'session';
  };
  return [...(steps[0]?.group ?? []).keys()].filter((i) => steps.every((step) => isSession(step, i)));
}

export function isNamed(rule: Rule, name: string): boolean {
  return (rule.id !== '' && rule.id === name.toLowerCase()) || (rule.name !== '' && rule.name === name);
}

export function unknownRule({ file, line, kind }: SigmaDocument, name: string): StenoError {
  return new StenoError('RULE_INVALID', `${file}:${line}:1: the ${kind} names ${JSON.stringify(name)}, and no such rule is loaded`);
}
