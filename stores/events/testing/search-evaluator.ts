/** Evaluates a search in plain TypeScript over all rows, for comparison with the store. */
import { holds, parseAddress, parseBlock } from '#schemas/base/ip-address.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import { looksLikeBlock, piecesOf } from '#schemas/search/expression.js';
import type { FieldMatch, SearchExpression, TextMatch } from '#schemas/search/expression.js';
import { fieldFacts } from '#schemas/search/fields.js';
import type { SearchField } from '#schemas/search/fields.js';
import type { FoundRow } from '../search-contract.js';

export interface SearchedRows {
  readonly rows: readonly FoundRow[];
  /** By id. */
  readonly sessions: ReadonlyMap<string, SessionRow>;
}

type Value = string | number | null;

export function finds(expression: SearchExpression, found: FoundRow, all: SearchedRows): boolean {
  switch (expression.kind) {
    case 'not':
      return !finds(expression.of, found, all);
    case 'all':
      return expression.of.every((one) => finds(one, found, all));
    case 'any':
      return expression.of.some((one) => finds(one, found, all));
    case 'text':
      return textMatches(expression.match, found);
    case 'field':
      return fieldMatches(expression.field, expression.match, found, all);
  }
}

function textMatches(match: TextMatch, found: FoundRow): boolean {
  const text = textOf(found);
  switch (match.kind) {
    case 'word': {
      // In events every non-ASCII character belongs to a word.
      const separators = found.table === 'events' ? /[^\p{L}\p{M}\p{N}\u0080-\u{10ffff}]+/u : /[^\p{L}\p{M}\p{N}]+/u;
      return text.toLowerCase().split(separators).includes(match.text.toLowerCase());
    }
    case 'phrase':
      return text.toLowerCase().includes(match.text.toLowerCase());
    case 'glob':
      return new RegExp(piecesOf(match.pattern).map(escape).join('\\S*'), 'iu').test(text);
    case 'regex':
      return new RegExp(match.source, 'iu').test(text);
  }
}

function textOf(found: FoundRow): string {
  switch (found.table) {
    case 'screen':
      return found.row.text;
    case 'sessions':
      return found.row.command;
    case 'events':
      return `${found.row.path} ${found.row.name} ${found.row.address}`;
    case 'findings':
      return `${found.row.rule} ${found.row.data}`;
    case 'audit':
      return `${found.row.event} ${found.row.target} ${found.row.reason} ${found.row.code}`;
  }
}

function fieldMatches(field: SearchField, match: FieldMatch, found: FoundRow, all: SearchedRows): boolean {
  if (field === 'has') {
    if (match.kind !== 'pattern' || found.row.session === '') return false;
    const marks = (row: FoundRow): boolean =>
      row.row.session === found.row.session &&
      {
        finding: row.table === 'findings',
        gap: row.table === 'events' && row.row.kind === 'gap',
        kernel: row.table === 'events' && row.row.source === 'kernel',
        screen: row.table === 'screen',
      }[match.pattern as 'finding'];
    return all.rows.some(marks);
  }
  if (field === 'after' || field === 'before' || field === 'during') {
    const at = found.table === 'sessions' ? found.row.started_at : found.row.at;
    const until = field === 'during' && found.table === 'sessions' ? (found.row.ended_at ?? Infinity) : at;
    return match.kind === 'range' && (match.from === null || until >= match.from) && (match.to === null || at < match.to);
  }
  return valuesOf(field, match, found, all).some((value) => valueMatches(field, match, value));
}

const lookedUp: ReadonlySet<SearchField> = new Set(['cluster', 'namespace', 'pod', 'container', 'image', 'label', 'request']);
const ofEvents: ReadonlySet<SearchField> = new Set(['cluster', 'namespace', 'pod', 'container']);

function valuesOf(field: SearchField, match: FieldMatch, found: FoundRow, all: SearchedRows): readonly Value[] {
  const { table, row } = found;
  if (lookedUp.has(field) && !(table === 'events' && ofEvents.has(field))) {
    const session = table === 'sessions' ? row : all.sessions.get(row.session);
    if (session === undefined) return [];
    if (field === 'request') return session.request_id.split(',');
    if (field !== 'label') return [session[field as 'cluster']];
    if (!session.labels_known) return [];
    const named = match.kind === 'pattern' && !piecesOf(match.pattern).some((piece) => piece.includes('='));
    return Object.entries(session.labels).map(([key, value]) => (named ? key : `${key}=${value}`));
  }
  switch (field) {
    case 'user':
      return [table === 'audit' ? row.actor : row.user];
    case 'node':
    case 'login':
    case 'session':
      return [row[field]];
    case 'kind':
      return [table === 'events' ? row.kind : { screen: 'screen', sessions: 'command', findings: 'finding', audit: 'audit' }[table]];
    case 'outcome':
    case 'reason':
      return table === 'events' || table === 'audit' ? [row[field]] : [];
    case 'verb':
      return table === 'audit' ? [row.event] : table === 'events' && row.kind === 'kube' ? [row.name.split(' ')[0]!] : [];
    case 'tier':
      return table === 'findings' ? ['alert'] : [];
    case 'rule':
    case 'severity':
    case 'state':
      return table === 'findings' ? [row[field]] : [];
    case 'technique':
      return table === 'findings' ? row.techniques : [];
    default:
      return table === 'events' ? eventValues(field, row) : [];
  }
}

function eventValues(field: SearchField, row: EventRow): readonly Value[] {
  switch (field) {
    case 'exe':
      return row.kind === 'exec' ? [row.path] : [];
    case 'argv':
      return row.kind === 'exec' ? [row.name] : [];
    case 'dns':
      return row.kind === 'dns' ? [row.name] : [];
    case 'dst':
      return [row.address];
    default:
      return [row[field as 'path' | 'port' | 'sha256' | 'size' | 'cluster']];
  }
}

function valueMatches(field: SearchField, match: FieldMatch, value: Value): boolean {
  if (match.kind === 'range')
    return typeof value === 'number' && (match.from === null || value >= match.from) && (match.to === null || value <= match.to);
  if (typeof value !== 'string') return false;
  if (match.kind === 'regex') return new RegExp(match.source, 'u').test(value);
  const pieces = piecesOf(match.pattern);
  const whole = new RegExp(`^${pieces.map(escape).join('.*')}$`, 'su');
  const { takes } = fieldFacts(field);
  if (takes === 'address' && pieces.length === 1 && looksLikeBlock(pieces[0]!)) {
    const [block, address] = [parseBlock(pieces[0]!), parseAddress(value)];
    return block !== undefined && address !== undefined && holds(block, address);
  }
  if (takes !== 'path' || pieces[0] === '' || pieces[0]!.startsWith('/')) return whole.test(value);
  return whole.test(value) || new RegExp(`/${pieces.map(escape).join('.*')}$`, 'su').test(value);
}

function escape(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
