/**
 * Correlations as the Sigma correlation rules specification 2.1 defines them, parsed strictly. The rules that one names are looked up in
 * correlation-plan.ts. Tested in correlation.test.ts.
 */
import { isMap, isScalar } from 'yaml';
import type { Node, Scalar } from 'yaml';
import { test } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import type { RuleField } from '../sources/mapping.js';
import { ConditionError, parseCondition } from './condition.js';
import type { Entry, RuleDocument } from './document.js';

/** Requirements of a type in addition to rules and a time span. */
const types = {
  event_count: { condition: true, field: false },
  value_count: { condition: true, field: true },
  value_sum: { condition: true, field: true },
  value_avg: { condition: true, field: true },
  value_median: { condition: true, field: true },
  value_percentile: { condition: true, field: true },
  temporal: { condition: false, field: false },
  temporal_ordered: { condition: false, field: false },
} as const;
export type CorrelationType = keyof typeof types;

const comparisons = ['eq', 'neq', 'lt', 'lte', 'gt', 'gte'] as const;
export interface Bound {
  readonly is: (typeof comparisons)[number];
  readonly value: number;
}

export interface Correlation {
  readonly type: CorrelationType;
  /** Ids or names of rules, including correlations, in order. */
  readonly rules: readonly string[];
  readonly groupBy: readonly string[];
  /** As written, and in milliseconds. */
  readonly timespan: { readonly text: string; readonly ms: number };
  /** All of them must hold. For `temporal`, bounds on the number of different rules that matched; empty: every rule. */
  readonly bounds: readonly Bound[];
  /** For `temporal` with a written condition: `test` of a field that is the name of a rule. */
  readonly expression: Predicate<RuleField> | null;
  /** The field that is counted or used in a calculation; '' for none. */
  readonly field: string;
  /** 0 to 100. */
  readonly percentile: number;
  /** For each alias, the field of each rule. */
  readonly aliases: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Whether the named rules also make findings of their own. */
  readonly generate: boolean;
}

const keys = ['type', 'rules', 'group-by', 'timespan', 'condition', 'aliases', 'generate'];
const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, M: 2_592_000_000 };
const MAX_TIMESPAN = 366 * 86_400_000;

export function parseCorrelation(document: RuleDocument, { keyNode, value }: Entry): Correlation {
  const entries = document.entries(value, 'correlation');
  const at = (key: string): Entry | undefined => entries.find((entry) => entry.key === key);
  const stranger = entries.find(({ key }) => !keys.includes(key));
  if (stranger !== undefined)
    throw document.fault(`correlation has no field ${stranger.key}; there are ${keys.join(', ')}`, stranger.keyNode);
  const type = document.text(entries, 'type', 64) as CorrelationType | undefined;
  if (type === undefined || !Object.hasOwn(types, type))
    throw document.fault(`type is one of ${Object.keys(types).join(', ')}`, at('type')?.value ?? keyNode);
  const rules = document.texts(at('rules')?.value ?? null, 'rules', 100).map(({ text }) => text);
  if (rules.length === 0) throw document.fault('correlation names no rules', keyNode);
  if (type.startsWith('temporal') && rules.length < 2)
    throw document.fault(`${type} needs two rules or more`, at('rules')?.keyNode ?? keyNode);
  if (new Set(rules).size < rules.length && type !== 'temporal_ordered')
    throw document.fault('correlation names a rule twice', at('rules')?.keyNode ?? keyNode);
  const condition = at('condition');
  if (types[type].condition && condition === undefined) throw document.fault(`${type} needs a condition`, keyNode);
  if (type === 'temporal_ordered' && condition !== undefined)
    throw document.fault(`${type} has no condition here: it holds where every rule has matched, in order`, condition.keyNode);
  return {
    type,
    rules,
    groupBy: document.texts(at('group-by')?.value ?? null, 'group-by', 20).map(({ text }) => text),
    timespan: timespanOf(document, entries, keyNode),
    ...conditionOf(document, condition, type, rules),
    aliases: aliasesOf(document, at('aliases'), rules),
    generate: flagOf(document, at('generate')),
  };
}

function timespanOf(document: RuleDocument, entries: readonly Entry[], keyNode: Node): Correlation['timespan'] {
  const text = document.text(entries, 'timespan', 32) ?? '';
  const node = entries.find(({ key }) => key === 'timespan')?.value ?? keyNode;
  const [, number = '', unit = ''] = /^([1-9]\d{0,8})([smhdwM])$/.exec(text) ?? [];
  const ms = Number(number) * (units[unit] ?? 0);
  if (ms === 0) throw document.fault('timespan is a number with s, m, h, d, w or M, as in 10m', node);
  if (ms > MAX_TIMESPAN) throw document.fault('timespan is longer than a year', node);
  return { text, ms };
}

type Condition = Pick<Correlation, 'bounds' | 'expression' | 'field' | 'percentile'>;

function conditionOf(document: RuleDocument, entry: Entry | undefined, type: CorrelationType, rules: readonly string[]): Condition {
  const none: Condition = { bounds: [], expression: null, field: '', percentile: 50 };
  if (entry === undefined) return none;
  const { keyNode, value } = entry;
  if (type === 'temporal' && !isMap(value)) return { ...none, expression: expressionOf(document, entry, rules) };
  const entries = document.entries(value, 'condition');
  const needsField = types[type].field;
  const field = document.text(entries, 'field', 256);
  if (needsField && field === undefined) throw document.fault(`${type} needs a field in its condition`, keyNode);
  if (!needsField && field !== undefined) throw document.fault(`${type} has no field in its condition`, keyNode);
  const bounds: Bound[] = [];
  let percentile = 50;
  for (const { key, keyNode: at, value: node } of entries) {
    if (key === 'field') continue;
    const isPercentile = key === 'percentile' && type === 'value_percentile';
    const is = comparisons.find((one) => one === key);
    if (is === undefined && !isPercentile) throw document.fault(`condition compares by ${comparisons.join(', ')}`, at);
    if (!isScalar(node) || typeof node.value !== 'number' || !Number.isFinite(node.value))
      throw document.fault(`${key} is a number`, node ?? at);
    if (is !== undefined) bounds.push({ is, value: node.value });
    else percentile = node.value;
  }
  if (bounds.length === 0) throw document.fault('condition compares with nothing', keyNode);
  if (percentile < 0 || percentile > 100) throw document.fault('percentile is 0 to 100', keyNode);
  return { bounds, expression: null, field: field ?? '', percentile };
}

/** `a and (b or not c)`, over the rules that the correlation names. */
function expressionOf(document: RuleDocument, { keyNode, value }: Entry, rules: readonly string[]): Predicate<RuleField> {
  if (!isScalar(value) || typeof value.value !== 'string')
    throw document.fault('condition is a list of comparisons, or a text with names of rules', value ?? keyNode);
  if (value.value.length > 4_096) throw document.fault('condition is longer than 4096 characters', value);
  try {
    const matched = new Map(rules.map((rule) => [rule, test<RuleField>(rule, { kind: 'absent' })]));
    return parseCondition(value.value, matched).predicate;
  } catch (error) {
    if (error instanceof ConditionError) throw document.faultInside(`condition ${error.message}`, value as Scalar, error.at, error.length);
    throw error;
  }
}

function aliasesOf(document: RuleDocument, entry: Entry | undefined, rules: readonly string[]): Correlation['aliases'] {
  const aliases = new Map<string, ReadonlyMap<string, string>>();
  if (entry === undefined) return aliases;
  for (const { key, value } of document.entries(entry.value, 'aliases')) {
    const fields = new Map<string, string>();
    for (const { key: rule, keyNode, value: node } of document.entries(value, `alias ${key}`)) {
      if (!rules.includes(rule))
        throw document.fault(`alias ${key} is for ${JSON.stringify(rule)}, which the correlation does not name`, keyNode);
      const [field] = document.texts(node, `alias ${key}`, 1);
      if (field === undefined) throw document.fault(`alias ${key} names a field of each rule`, keyNode);
      fields.set(rule, field.text);
    }
    aliases.set(key, fields);
  }
  return aliases;
}

function flagOf(document: RuleDocument, entry: Entry | undefined): boolean {
  if (entry === undefined) return false;
  if (!isScalar(entry.value) || typeof entry.value.value !== 'boolean')
    throw document.fault('generate is true or false', entry.value ?? entry.keyNode);
  return entry.value.value;
}
