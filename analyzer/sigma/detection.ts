/** The `detection` (or `filter`) of a rule: its search identifiers, and the condition over them. Tested in rule.test.ts. */
import { isMap, isScalar, isSeq } from 'yaml';
import type { Node, Scalar } from 'yaml';
import { all, any, sizeOf } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import type { RuleField } from '../sources/mapping.js';
import { ConditionError, parseCondition } from './condition.js';
import type { Entry } from './document.js';
import { itemPredicate } from './item.js';
import type { Parsing } from './item.js';

/** Limit of tests and joins in one rule; a selection counts each time that the condition names it. */
const MAX_SIZE = 50_000;
const MAX_CONDITION = 4_096;

export interface Detection {
  readonly predicate: Predicate<RuleField>;
  /** The text after a `|` in a condition of Sigma 1. */
  readonly aggregation: string | null;
}

/** `entries`: the search identifiers, without the condition itself. */
export function parseDetection(entries: readonly Entry[], condition: Node, parsing: Parsing): Detection {
  const { document } = parsing;
  const selections = new Map<string, Predicate<RuleField>>();
  for (const { key, keyNode, value } of entries) {
    if (!/^[\w.-]+$/.test(key)) throw document.fault('is no name of a search identifier: letters, digits, _, . and -', keyNode);
    selections.set(key, search(value, keyNode, parsing));
  }
  if (selections.size === 0) throw document.fault('has no search identifier', condition);
  const conditions = isSeq(condition) ? (condition.items as Node[]) : [condition];
  if (conditions.length === 0) throw document.fault('condition is empty', condition);
  const parsed = conditions.map((node) => conditionAt(node, selections, parsing));
  const predicate = any(parsed.map((one) => one.predicate));
  if (sizeOf(predicate) > MAX_SIZE) throw document.fault(`the condition comes to more than ${MAX_SIZE} tests`, condition);
  return { predicate, aggregation: parsed.find((one) => one.aggregation !== null)?.aggregation ?? null };
}

function conditionAt(
  node: Node,
  selections: ReadonlyMap<string, Predicate<RuleField>>,
  { document }: Parsing,
): ReturnType<typeof parseCondition> {
  if (!isScalar(node) || typeof node.value !== 'string') throw document.fault('condition is a text', node);
  if (node.value.length > MAX_CONDITION) throw document.fault(`condition is longer than ${MAX_CONDITION} characters`, node);
  try {
    return parseCondition(node.value, selections);
  } catch (error) {
    if (error instanceof ConditionError) throw document.faultInside(`condition ${error.message}`, node as Scalar, error.at, error.length);
    throw error;
  }
}

/** A map requires all of its fields, a list any of its entries; an entry that is not a map is a keyword. */
function search(node: Node | null, at: Node, parsing: Parsing): Predicate<RuleField> {
  const { document } = parsing;
  if (isMap(node)) {
    const entries = document.entries(node, 'a search identifier');
    if (entries.length === 0) throw document.fault('is empty', node);
    return all(entries.map(({ key, keyNode, value }) => itemPredicate(key, keyNode, value, parsing)));
  }
  if (isSeq(node)) {
    const items = node.items as (Node | null)[];
    if (items.length === 0) throw document.fault('is empty', node);
    return any(
      items.map((item) => {
        if (isSeq(item)) throw document.fault('is a list inside a list', item);
        return search(item, item ?? at, parsing);
      }),
    );
  }
  return itemPredicate('', at, node, parsing);
}
