/**
 * Who may see a row, in SQL: a tree of schemas/policy/session-condition.ts written over the columns of `sessions`.
 *
 * Lists, counts, searches and people's SQL all carry what is written here. Rows of other tables are seen with their session,
 * so rows that belong to none are seen only where no condition is given. NULL is the engine's unknown, and its AND, OR and NOT
 * treat it as the tree does. Tested in visible.test.ts.
 */
import type { EventTable } from '#schemas/events/rows.js';
import { earlier } from '#schemas/policy/session-condition.js';
import type { Condition, TextTerm } from '#schemas/policy/session-condition.js';
import { formatMoment } from '../engine/columns.js';
import type { Conditions } from './conditions.js';

const LAST_MOMENT = 7_258_118_400_000;

/** Gives a text the form in which it may stand in SQL: the name of a bound parameter, or a literal. */
export type WriteText = (text: string) => string;

/** A literal of ClickHouse, for statements that can bind nothing. */
export function literal(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

/** Of rows of `sessions`. */
export function writeCondition(condition: Condition, text: WriteText): string {
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

/** Restricts a query: rows of `sessions` themselves, rows of another table by their session. */
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

/** The same as conditions of tables by name, with every text as a literal. */
export function visibleTables(database: string, visible: Condition): readonly (readonly [EventTable, string])[] {
  const written = writeCondition(visible, literal);
  const tables: readonly EventTable[] = ['sessions', 'events', 'screen', 'findings', 'audit'];
  return tables.map((table) => [table, ofTable(table, written, `${database}.`)]);
}

/** Columns of a session never change, so no FINAL is needed to look at them. The audit log has a right of its own. */
function ofTable(table: EventTable, written: string, database = ''): string {
  if (table === 'sessions') return written;
  return table === 'audit' ? 'false' : `session IN (SELECT session FROM ${database}sessions WHERE ${written})`;
}
