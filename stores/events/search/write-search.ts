/**
 * Writes a search as a condition on one table's rows. Parts that need no data (a missing field, the kind of the rows) are
 * decided while writing, so that a table in which nothing can match is not read. Tested in search.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { parseBlock } from '#schemas/base/ip-address.js';
import { eventKinds } from '#schemas/events/kinds.js';
import { looksLikeBlock, piecesOf } from '#schemas/search/expression.js';
import type { FieldMatch, SearchExpression, TextMatch } from '#schemas/search/expression.js';
import { fieldFacts } from '#schemas/search/fields.js';
import type { SearchField } from '#schemas/search/fields.js';
import { formatMoment } from '../engine/columns.js';
import { escapeLike, textCondition } from '../queries/text-match.js';
import type { Bind } from '../queries/text-match.js';
import { sessionFields } from './tables.js';
import type { FieldColumn, SearchTable } from './tables.js';

/** Selects the findings that need attention. */
export const NO_SIGNALS = "JSONExtractString(data, 'tier') != 'signal'";

/** True or false for every row of the table, or SQL that decides. */
export type Written = boolean | string;

export function writeSearch(expression: SearchExpression, table: SearchTable, bind: Bind): Written {
  switch (expression.kind) {
    case 'not': {
      const of = writeSearch(expression.of, table, bind);
      return typeof of === 'boolean' ? !of : `NOT (${of})`;
    }
    case 'all':
    case 'any': {
      const decisive = expression.kind === 'any';
      const parts: string[] = [];
      for (const one of expression.of) {
        const part = writeSearch(one, table, bind);
        if (part === decisive) return decisive;
        if (typeof part === 'string') parts.push(`(${part})`);
      }
      return parts.length === 0 ? !decisive : parts.join(decisive ? ' OR ' : ' AND ');
    }
    case 'text':
      return writeText(expression.match, table, bind);
    case 'field':
      return writeField(expression.field, expression.match, table, bind);
  }
}

function writeText(match: TextMatch, { text }: SearchTable, bind: Bind): Written {
  switch (match.kind) {
    case 'word':
      return textCondition(text, match.text, 'words', bind);
    case 'phrase':
      return textCondition(text, match.text, 'substring', bind);
    case 'glob':
      return textCondition(text, piecesOf(match.pattern).map(escapeRegex).join('\\S*'), 'regex', bind);
    case 'regex':
      return textCondition(text, match.source, 'regex', bind);
  }
}

function writeField(field: SearchField, match: FieldMatch, table: SearchTable, bind: Bind): Written {
  switch (field) {
    case 'kind':
      return writeKind(match, table, bind);
    case 'has':
      return writeMark(match);
    case 'after':
    case 'before':
    case 'during': {
      if (match.kind !== 'range') return false;
      const at = (ms: number): string => `toDateTime64(${bind(formatMoment(ms))}, 3, 'UTC')`;
      const parts = [
        ...(match.from === null ? [] : [`${field === 'during' ? table.until : table.moment} >= ${at(match.from)}`]),
        ...(match.to === null ? [] : [`${table.moment} < ${at(match.to)}`]),
      ];
      return parts.join(' AND ');
    }
    default:
      return writeRest(field, match, table, bind);
  }
}

function writeRest(field: SearchField, match: FieldMatch, table: SearchTable, bind: Bind): Written {
  const of = table.fields[field];
  if (of === undefined) return false;
  if (of.kind !== 'session') return writeColumn(field, match, of, bind);
  const inSessions = writeColumn(field, match, sessionFields[field]!, bind);
  return `session IN (SELECT session FROM sessions WHERE ${inSessions})`;
}

function writeColumn(field: SearchField, match: FieldMatch, of: FieldColumn, bind: Bind): string {
  switch (of.kind) {
    case 'session':
      throw new StenoError('INTERNAL', `${field} is looked up in itself`);
    case 'array':
      return `arrayExists(x -> ${writeMatch(field, match, 'x', bind)}, ${of.column})`;
    case 'label': {
      const whole = match.kind !== 'pattern' || piecesOf(match.pattern).some((piece) => piece.includes('='));
      return `labels_known AND arrayExists(x -> ${writeMatch(field, match, 'x', bind)}, ${whole ? of.pairs : of.names})`;
    }
    case 'column': {
      const compared = writeMatch(field, match, of.column, bind);
      return of.where === undefined ? compared : `${of.where} AND ${compared}`;
    }
  }
}

function writeMatch(field: SearchField, match: FieldMatch, column: string, bind: Bind): string {
  switch (match.kind) {
    case 'range': {
      const { from, to } = match;
      const parts = [
        ...(from === null ? [] : [`ifNull(${column} >= toUInt64(${bind(String(from))}), false)`]),
        ...(to === null ? [] : [`ifNull(${column} <= toUInt64(${bind(String(to))}), false)`]),
      ];
      return parts.join(' AND ');
    }
    case 'regex':
      return `match(${column}, ${bind(match.source)})`;
    case 'pattern':
      return writePattern(field, match.pattern, column, bind);
  }
}

function writePattern(field: SearchField, pattern: string, column: string, bind: Bind): string {
  const { takes } = fieldFacts(field);
  const pieces = piecesOf(pattern);
  if (takes === 'address' && pieces.length === 1 && looksLikeBlock(pieces[0]!)) {
    const block = parseBlock(pieces[0]!);
    // The engine's range check accepts only addresses of the block's own family.
    const ofFamily = block?.bytes.length === 4 ? 'isIPv4String' : 'isIPv6String';
    return block === undefined ? 'false' : `if(${ofFamily}(${column}), isIPAddressInRange(${column}, ${bind(pieces[0]!)}), false)`;
  }
  const exact = (text: string): string =>
    pieces.length === 1 ? `${column} = ${bind(text)}` : `${column} LIKE ${bind(pieces.map(escapeLike).join('%'))}`;
  if (takes !== 'path' || pieces[0] === '' || pieces[0]!.startsWith('/')) return exact(pieces[0]!);
  // Match the end of a path, after a slash.
  return `(${exact(pieces[0]!)} OR ${column} LIKE ${bind(`%/${pieces.map(escapeLike).join('%')}`)})`;
}

function writeKind(match: FieldMatch, table: SearchTable, bind: Bind): Written {
  const wanted = match.kind === 'pattern' ? match.pattern : '';
  if (table.kind !== null) return table.kind === wanted;
  return (eventKinds as readonly string[]).includes(wanted) ? `kind = ${bind(wanted)}` : false;
}

function writeMark(match: FieldMatch): Written {
  const mark = match.kind === 'pattern' ? match.pattern : '';
  const from = {
    finding: `findings WHERE ${NO_SIGNALS}`,
    gap: "events WHERE kind = 'gap'",
    kernel: "events WHERE source = 'kernel'",
    screen: 'screen WHERE 1',
  }[mark];
  return from === undefined ? false : `session != '' AND session IN (SELECT session FROM ${from})`;
}

function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
