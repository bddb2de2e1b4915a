/**
 * A correlation as ClickHouse SQL over the table `events`: the answers of stream.ts over all stored rows. agreement.test.ts compares
 * the two. An inner correlation is a subquery; rows that arrived twice count once, by their keys.
 */
import type { WriteText } from '#stores/events/queries/visible.js';
import { conditionOf, fieldText, relationOf } from '../clickhouse/sql.js';
import { all, test } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import type { Field } from '../predicate/field.js';
import type { Bound } from '../sigma/correlation.js';
import type { CorrelationPlan, Step } from '../sigma/correlation-plan.js';
import { nameOf } from './occurrence.js';

const MAX_EVIDENCE = 100;
/** A value before every moment. */
const NEVER = -9_007_199_254_740_991;

/**
 * One row for each group and calendar time span in which the correlation holds: `group_` (texts in the order of `group-by`), `at_` (the
 * first moment, in milliseconds), `evidence` (ids of events, oldest first). `where`: selects rows of `events`, or whole sessions if a
 * rule tests the program of another process.
 */
export function correlationSql(plan: CorrelationPlan, write: WriteText, where = '1'): string {
  const { ms } = plan.rule.correlation.timespan;
  const first = `SELECT group_, min(at_) AS first_ FROM (${firingsOf(plan, write, where)}) GROUP BY group_, intDiv(at_, ${ms})`;
  const window = `o.at_ > f.first_ - ${ms} AND o.at_ <= f.first_`;
  return (
    `SELECT f.group_ AS group_, f.first_ AS at_, ` +
    `arraySlice(arrayFlatten(arrayMap(one -> one.3, arraySort(one -> (one.1, one.2), groupArray((o.at_, o.key, o.evidence))))), -${MAX_EVIDENCE}) AS evidence ` +
    `FROM (${first}) AS f INNER JOIN (${occurrencesOf(plan, write, where)}) AS o ON f.group_ = o.group_ WHERE ${window} ` +
    `GROUP BY f.group_, f.first_ ORDER BY at_, group_`
  );
}

/** `group_`, `key`, `at_`, `steps`, `value`, `evidence`. */
function occurrencesOf(plan: CorrelationPlan, write: WriteText, where: string): string {
  const steps = plan.steps.map((step, i) => stepSql(step, i, write, where)).join(' UNION ALL ');
  return (
    `SELECT group_, key, at_, arraySort(groupUniqArray(step)) AS steps, argMin(value, step) AS value, argMin(evidence, step) AS evidence ` +
    `FROM (${steps}) WHERE NOT has(group_, '') GROUP BY group_, key, at_`
  );
}

function stepSql(step: Step, number: number, write: WriteText, where: string): string {
  if (step.kind === 'correlation') {
    const { plan, group, value } = step;
    const { ms } = plan.rule.correlation.timespan;
    const name = write(nameOf(plan));
    const pick = (i: number): string => `inner_[${i + 1}]`;
    return (
      `SELECT ${texts(group.map(pick))} AS group_, concat(${name}, ':', toString(intDiv(moment_, ${ms})), ':', arrayStringConcat(inner_, '\\0')) AS key, ` +
      `moment_ AS at_, ${number} AS step, ${value === null ? "''" : pick(value)} AS value, ids_ AS evidence ` +
      `FROM (SELECT group_ AS inner_, at_ AS moment_, max(evidence) AS ids_ FROM (${firingsOf(plan, write, where)}) GROUP BY group_, at_)`
    );
  }
  const { rule, group, value } = step;
  const fields = [...group, ...(value === null ? [] : [value])];
  // The shape of the condition alone decides where its columns come from.
  const asked: Predicate<Field> = all([rule.predicate, ...fields.map((field) => test(field, { kind: 'absent' }))]);
  const padded = (column: string): string => `leftPad(toString(${column}), 10, '0')`;
  const place = (of: (column: string) => string): string =>
    `concat(session, ':', source, ':', emitter, ':', ${of('block')}, '.', ${of('`index`')})`;
  return (
    `SELECT ${texts(group.map((field) => fieldText(field, write)))} AS group_, ${place(padded)} AS key, toUnixTimestamp64Milli(at) AS at_, ` +
    `${number} AS step, ${value === null ? "''" : `CAST(${fieldText(value, write)}, 'String')`} AS value, [${place((column) => `toString(${column})`)}] AS evidence ` +
    `FROM ${relationOf(asked, where)} WHERE (${conditionOf(rule.scope.selects, write)}) AND (${conditionOf(rule.predicate, write)})`
  );
}

function texts(of: readonly string[]): string {
  return `CAST([${of.join(', ')}], 'Array(String)')`;
}

/** Every occurrence at whose moment the correlation holds: `group_`, `at_`, and the `evidence` of that occurrence. */
function firingsOf(plan: CorrelationPlan, write: WriteText, where: string): string {
  const { correlation } = plan.rule;
  const occurrences = occurrencesOf(plan, write, where);
  const { ms } = correlation.timespan;
  if (correlation.type === 'temporal_ordered') return inOrder(plan.steps.length, occurrences, ms);
  const over = (aggregate: string): string =>
    `${aggregate} OVER (PARTITION BY group_ ORDER BY at_ ASC RANGE BETWEEN ${ms - 1} PRECEDING AND CURRENT ROW)`;
  const number = "toInt64OrNull(if(match(value, '^-?[0-9]{1,15}$'), value, ''))";
  switch (correlation.type) {
    case 'temporal': {
      const { expression, bounds, rules } = correlation;
      const holds =
        expression !== null
          ? expressionSql(expression, rules)
          : bounds.length > 0
            ? compared('length(matched)', bounds)
            : `length(matched) = ${plan.steps.length}`;
      return holding(`${over('groupUniqArrayArray(steps)')} AS matched`, holds, occurrences);
    }
    case 'event_count':
      return holding(`${over('uniqExact(key)')} AS figure`, compared('figure', correlation.bounds), occurrences);
    case 'value_count':
      return holding(`${over("uniqExactIf(value, value != '')")} AS figure`, compared('figure', correlation.bounds), occurrences);
    case 'value_sum': {
      const sum = `${over(`sumIf(toInt128(ifNull(${number}, 0)), ifNull(${number} >= 0, false))`)} AS figure`;
      const numbers = `${over(`countIf(ifNull(${number} >= 0, false))`)} AS numbers`;
      return holding(`${sum}, ${numbers}`, `numbers > 0 AND ${compared('toFloat64(figure)', correlation.bounds)}`, occurrences);
    }
    case 'value_avg': {
      const sum = `${over(`sum(toInt128(ifNull(${number}, 0)))`)} AS figure`;
      const numbers = `${over(`countIf(isNotNull(${number}))`)} AS numbers`;
      return holding(`${sum}, ${numbers}`, `numbers > 0 AND ${compared('toFloat64(figure) / numbers', correlation.bounds)}`, occurrences);
    }
    case 'value_median':
    case 'value_percentile': {
      const numbers = `${over(`groupArrayIf(toFloat64(ifNull(${number}, 0)), isNotNull(${number}))`)} AS numbers`;
      const place = `(${correlation.percentile / 100} * (length(numbers) - 1) + 1)`;
      const sorted = `arraySort(numbers)`;
      const below = `toUInt64(floor(${place}))`;
      const figure =
        `if(${below} >= length(numbers), ${sorted}[length(numbers)], ` +
        `${sorted}[${below}] + (${place} - ${below}) * (${sorted}[${below} + 1] - ${sorted}[${below}]))`;
      return holding(numbers, `notEmpty(numbers) AND ${compared(figure, correlation.bounds)}`, occurrences);
    }
  }
}

function holding(figures: string, holds: string, occurrences: string): string {
  return `SELECT group_, at_, evidence FROM (SELECT group_, at_, evidence, ${figures} FROM (${occurrences})) WHERE ${holds}`;
}

const operators = { eq: '=', neq: '!=', lt: '<', lte: '<=', gt: '>', gte: '>=' } as const;

function compared(figure: string, bounds: readonly Bound[]): string {
  return bounds.map(({ is, value }) => `(${figure} ${operators[is]} ${value})`).join(' AND ');
}

function expressionSql(predicate: Predicate<string | null>, rules: readonly string[]): string {
  switch (predicate.kind) {
    case 'truth':
      return String(predicate.truth);
    case 'not':
      return `NOT (${expressionSql(predicate.of, rules)})`;
    case 'all':
    case 'any':
      return predicate.of.map((part) => `(${expressionSql(part, rules)})`).join(predicate.kind === 'all' ? ' AND ' : ' OR ');
    case 'test':
      return `has(matched, ${rules.indexOf(predicate.field ?? '')})`;
  }
}

/** For each step, the start of the latest sequence of the steps up to it that ends with this occurrence. */
function inOrder(steps: number, occurrences: string, ms: number): string {
  const order = 'PARTITION BY group_ ORDER BY at_ ASC, key ASC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING';
  let sql = `SELECT *, if(has(steps, 0), at_, ${NEVER}) AS began FROM (${occurrences})`;
  for (let step = 1; step < steps; step += 1)
    sql = `SELECT * EXCEPT (began, earlier), if(has(steps, ${step}), earlier, ${NEVER}) AS began FROM (SELECT *, ifNull(maxOrNull(began) OVER (${order}), ${NEVER}) AS earlier FROM (${sql}))`;
  return `SELECT group_, at_, evidence FROM (${sql}) WHERE began > at_ - ${ms}`;
}
