/**
 * Visibility of rows in SQL: a condition tree of schemas/policy/session-condition.ts, written over the columns of
 * `sessions`.
 *
 * Lists, counts, searches and users' SQL all carry it. Rows of other tables are visible with their session, so rows without
 * a session are visible only if no condition is given. The engine's NULL means unknown, and its AND, OR and NOT treat it as
 * the tree does. Tested in visible.test.ts.
 */
import type { EventTable } from '#schemas/events/rows.js';
import { earlier } from '#schemas/policy/session-condition.js';
import type { Condition, TextTerm } from '#schemas/policy/session-condition.js';
import { formatMoment } from '../engine/columns.js';
import type { SqlScope } from '../contract.js';
import type { Conditions } from './conditions.js';

const LAST_MOMENT = 7_258_118_400_000;

/** Renders a text for SQL: the name of a bound parameter, or a literal. */
export type WriteText = (text: string) => string;

/** A ClickHouse literal, for statements that cannot bind. */
export function literal(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

/** The condition for rows of `sessions`. */
function writeCondition(condition: Condition, text: WriteText): string {
  switch (condition.kind) {
    case 'truth':
      return condition.truth === undefined ? "CAST(NULL, 'Nullable(Bool)')" : String(condition.truth);
    case 'not':
      return `NOT (${writeCondition(condition.of, text)})`;
    case 'all':
    case 'any': {
      if (condition.of.length === 0) return String(condition.kind === 'all');
      const join = condition.kind === 'all' ? ' AND ' : ' OR ';
      return condition.of.map((one) => `(${writeCondition(one, text)})`).join(join);
    }
    case 'assume':
      return `ifNull(${writeCondition(condition.of, text)}, ${condition.otherwise})`;
    case 'same':
      return `(${writeCondition(condition.a, text)}) = (${writeCondition(condition.b, text)})`;
    case 'in': {
      const a = writeText(condition.a, text);
      const terms = condition.list.map((term) => writeText(term, text));
      const unknown = [a, ...terms].map((term) => `isNull(${term})`).join(' OR ');
      return `if(${unknown}, NULL, ${terms.length === 0 ? 'false' : terms.map((term) => `${a} = ${term}`).join(' OR ')})`;
    }
    case 'has': {
      const label = writeText(condition.label, text);
      return `if(labels_known AND isNotNull(${label}), mapContains(labels, assumeNotNull(${label})), NULL)`;
    }
    case 'equal':
      return `${writeText(condition.a, text)} = ${writeText(condition.b, text)}`;
    case 'contains':
      return `position(${writeText(condition.a, text)}, ${writeText(condition.b, text)}) > 0`;
    case 'startsWith':
    case 'endsWith':
      return `${condition.kind}(${writeText(condition.a, text)}, ${writeText(condition.b, text)})`;
  }
}

function writeText(term: TextTerm, text: WriteText): string {
  switch (term.kind) {
    case 'text':
      return text(term.text);
    case 'user': {
      const { marked } = term;
      if (marked === null) return 'user';
      const before = `toDateTime64(${text(formatMoment(Math.min(Math.max(marked.before, 0), LAST_MOMENT)))}, 3, 'UTC')`;
      return `if(user = ${text(marked.user)} AND started_at < ${before}, ${text(earlier(marked.user))}, user)`;
    }
    case 'node':
    case 'login':
      return term.kind;
    case 'session_kind':
      return 'kind';
    case 'label': {
      const label = text(term.label);
      return `if(labels_known AND mapContains(labels, ${label}), labels[${label}], NULL)`;
    }
    case 'unknown':
      return "CAST(NULL, 'Nullable(String)')";
  }
}

/** Restricts a query: rows of `sessions` directly, rows of other tables by their session. */
export function addVisible(conditions: Conditions, table: EventTable, visible: Condition | undefined): void {
  if (visible === undefined) return;
  const parameters: Record<string, string> = {};
  const written = writeCondition(visible, (text) => {
    const name = `seen_${Object.keys(parameters).length}`;
    parameters[name] = text;
    return `{${name}:String}`;
  });
  conditions.add(ofTable(table, written), parameters);
}

/**
 * The scope as settings of a statement that a user has written in part: the engine applies a table's filter wherever the query reads
 * the table, including subqueries. A filter alone is not enough: the engine may evaluate the user's expressions before it, on hidden
 * rows, and errors then reveal their values (`toInt32(user) > 0` names the user). So nothing may run before a filter: no PREWHERE, no
 * condition merged with the filter, and no index of values, on which the engine evaluates conditions too.
 */
export function scopeSettings(database: string, { listed, viewed, findings, audit }: SqlScope): string {
  const filters: (readonly [EventTable, string])[] = [];
  if (listed !== undefined) filters.push(['sessions', writeCondition(listed, literal)]);
  if (viewed !== undefined) {
    const written = ofTable('events', writeCondition(viewed, literal), `${database}.`);
    filters.push(['events', written], ['screen', written]);
    if (findings) filters.push(['findings', written]);
  }
  if (!findings) filters.push(['findings', 'false']);
  if (!audit) filters.push(['audit', 'false']);
  if (filters.length === 0) return '';
  return (
    filterSetting(database, filters) +
    'optimize_move_to_prewhere = 0, query_plan_optimize_prewhere = 0, query_plan_merge_filters = 0, use_skip_indexes = 0, ' +
    "optimize_use_projections = 0, short_circuit_function_evaluation = 'force_enable', "
  );
}

function filterSetting(database: string, filters: readonly (readonly [EventTable, string])[]): string {
  return `additional_table_filters = {${filters.map(([table, filter]) => `${literal(`${database}.${table}`)}: ${literal(filter)}`).join(', ')}}, `;
}

/** Columns of a session never change, so FINAL is not needed. The audit log requires a separate right. */
function ofTable(table: EventTable, written: string, database = ''): string {
  if (table === 'sessions') return written;
  return table === 'audit' ? 'false' : `session IN (SELECT session FROM ${database}sessions WHERE ${written})`;
}
