/**
 * Correlations, checked by the Sigma correlation rules specification 2.1: a file with one loads, and what is wrong in it is said. A correlation
 * is not evaluated, so nothing is kept of it but what a list shows. Tested in correlation.test.ts.
 */
import { isScalar } from 'yaml';
import type { Node } from 'yaml';
import type { Entry, RuleDocument } from './document.js';

/** What a type needs beside rules and a time span. */
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

const comparisons: readonly string[] = ['eq', 'neq', 'lt', 'lte', 'gt', 'gte'];

export interface Correlation {
  readonly type: CorrelationType;
  /** Ids or names of rules, correlations among them. */
  readonly rules: readonly string[];
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
  const type = document.text(entries, 'type', 64);
  if (type === undefined || !Object.hasOwn(types, type))
    throw document.fault(`type is one of ${Object.keys(types).join(', ')}`, at('type')?.value ?? keyNode);
  const needs = types[type as CorrelationType];
  const rules = document.texts(at('rules')?.value ?? null, 'rules', 100).map(({ text }) => text);
  if (rules.length === 0) throw document.fault('correlation names no rules', keyNode);
  if (type.startsWith('temporal') && rules.length < 2)
    throw document.fault(`${type} needs two rules or more`, at('rules')?.keyNode ?? keyNode);
  const condition = at('condition');
  if (needs.condition && condition === undefined) throw document.fault(`${type} needs a condition`, keyNode);
  if (!needs.condition && condition !== undefined)
    throw document.fault(`${type} has no condition here: it holds where every rule has matched`, condition.keyNode);
  document.texts(at('group-by')?.value ?? null, 'group-by', 20);
  checkTimespan(document, entries, keyNode);
  if (condition !== undefined) checkCondition(document, condition, type as CorrelationType);
  checkAliases(document, at('aliases'), rules);
  checkFlag(document, at('generate'));
  return { type: type as CorrelationType, rules };
}

function checkTimespan(document: RuleDocument, entries: readonly Entry[], keyNode: Node): void {
  const text = document.text(entries, 'timespan', 32);
  const node = entries.find(({ key }) => key === 'timespan')?.value ?? keyNode;
  const [, number = '', unit = ''] = /^([1-9]\d{0,8})([smhdwM])$/.exec(text ?? '') ?? [];
  const ms = Number(number) * (units[unit] ?? 0);
  if (ms === 0) throw document.fault('timespan is a number with s, m, h, d, w or M, as in 10m', node);
  if (ms > MAX_TIMESPAN) throw document.fault('timespan is longer than a year', node);
}

function checkCondition(document: RuleDocument, { keyNode, value }: Entry, type: CorrelationType): void {
  const entries = document.entries(value, 'condition');
  const { field: needsField } = types[type];
  const hasField = document.text(entries, 'field', 256) !== undefined;
  if (needsField && !hasField) throw document.fault(`${type} needs a field in its condition`, keyNode);
  if (!needsField && hasField) throw document.fault(`${type} has no field in its condition`, keyNode);
  let bounds = 0;
  for (const { key, keyNode: at, value: node } of entries) {
    if (key === 'field') continue;
    const isPercentile = key === 'percentile' && type === 'value_percentile';
    if (!comparisons.includes(key) && !isPercentile) throw document.fault(`condition compares by ${comparisons.join(', ')}`, at);
    if (!isScalar(node) || typeof node.value !== 'number' || !Number.isFinite(node.value))
      throw document.fault(`${key} is a number`, node ?? at);
    if (!isPercentile) bounds += 1;
  }
  if (bounds === 0) throw document.fault('condition compares with nothing', keyNode);
}

function checkAliases(document: RuleDocument, entry: Entry | undefined, rules: readonly string[]): void {
  if (entry === undefined) return;
  for (const { key, value } of document.entries(entry.value, 'aliases')) {
    for (const { key: rule, keyNode, value: field } of document.entries(value, `alias ${key}`)) {
      if (!rules.includes(rule))
        throw document.fault(`alias ${key} is for ${JSON.stringify(rule)}, which the correlation does not name`, keyNode);
      if (document.texts(field, `alias ${key}`, 1).length === 0) throw document.fault(`alias ${key} names a field of each rule`, keyNode);
    }
  }
}

function checkFlag(document: RuleDocument, entry: Entry | undefined): void {
  if (entry === undefined) return;
  if (!isScalar(entry.value) || typeof entry.value.value !== 'boolean')
    throw document.fault('generate is true or false', entry.value ?? entry.keyNode);
}
