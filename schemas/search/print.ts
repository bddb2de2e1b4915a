/** Formats a tree as text that parses to the same tree, for links and names of saved searches. */
import type { FieldMatch, SearchExpression, TextMatch } from './expression.js';
import { piecesOf } from './expression.js';
import { fieldFacts } from './fields.js';
import type { SearchField } from './fields.js';

export function printSearch(expression: SearchExpression): string {
  return print(expression, 0);
}

/** `inside`: 0 where an `or` needs no parentheses, 1 between terms, 2 after a minus. */
function print(expression: SearchExpression, inside: 0 | 1 | 2): string {
  switch (expression.kind) {
    case 'any': {
      const text = expression.of.map((one) => print(one, 1)).join(' or ');
      return inside > 0 ? `(${text})` : text;
    }
    case 'all': {
      const text = expression.of.map((one) => print(one, 1)).join(' ');
      return inside > 1 ? `(${text})` : text;
    }
    case 'not':
      return `-${print(expression.of, 2)}`;
    case 'text':
      return printText(expression.match);
    case 'field':
      return printField(expression.field, expression.match);
  }
}

function printText(match: TextMatch): string {
  switch (match.kind) {
    case 'word':
      return printWord([match.text], false);
    case 'phrase':
      return quoted(match.text);
    case 'glob':
      return printWord(piecesOf(match.pattern), false);
    case 'regex':
      return `/${match.source.replaceAll('/', '\\/')}/`;
  }
}

function printField(field: SearchField, match: FieldMatch): string {
  if (match.kind === 'regex') return `${field}:/${match.source.replaceAll('/', '\\/')}/`;
  if (match.kind === 'pattern') return `${field}:${printWord(piecesOf(match.pattern), true)}`;
  const { from, to } = match;
  if (fieldFacts(field).takes === 'moment') {
    const iso = (ms: number): string => new Date(ms).toISOString();
    if (from !== null && to !== null) return `${field}:${iso(from)}..${iso(to - 1)}`;
    return `${field}:${iso(from ?? to ?? 0)}`;
  }
  if (from !== null && to !== null) return from === to ? `${field}:${from}` : `${field}:${from}..${to}`;
  return from === null ? `${field}:<=${to ?? 0}` : `${field}:>=${from}`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** `value`: after a field, where minus, colon and keywords have no special meaning. */
function printWord(pieces: readonly string[], value: boolean): string {
  const word = pieces.map((piece) => piece.replace(/[\s()"\\*]/g, '\\$&')).join('*');
  const isRegex = word.startsWith('/') && word.indexOf('/', 1) === word.length - 1;
  if (isRegex) return `\\${word}`;
  // Two colons in a row would turn the field and its value into text.
  if (value) return word.startsWith(':') ? `\\${word}` : word;
  if (word.startsWith('-') || /^(?:and|or|not)$/i.test(word)) return `\\${word}`;
  return word.replace(/^([a-z][a-z0-9_]*):/i, '$1\\:');
}
