/**
 * Translates a predicate into a condition of ClickHouse SQL over the table `events`. The condition and the streaming matcher decide
 * alike for every row: agreement.test.ts runs both on generated rules and rows. Every text of a rule passes through `write`, which
 * makes it a bound parameter or a literal.
 *
 * No expression here is NULL: a field that is absent is `''`, as in the rows.
 */
import { StenoError } from '#schemas/base/errors.js';
import { parseBlock } from '#schemas/base/ip-address.js';
import type { WriteText } from '#stores/events/queries/visible.js';
import { eventsWithOther } from '../lineage/relation.js';
import type { Field } from '../predicate/field.js';
import { ANY, ONE, foldPattern, shapeOf } from '../predicate/pattern.js';
import type { Pattern } from '../predicate/pattern.js';
import type { Comparison, Part, Predicate, Test } from '../predicate/predicate.js';

/** The relation, for a FROM clause, in which a condition with this predicate finds its columns. `where`: see `eventsWithOther`. */
export function relationOf(predicate: Predicate<Field>, where = '1'): string {
  return asksForOther(predicate) ? eventsWithOther(where) : `(SELECT * FROM events WHERE (${where}))`;
}

function asksForOther(predicate: Predicate<Field>): boolean {
  switch (predicate.kind) {
    case 'truth':
      return false;
    case 'not':
      return asksForOther(predicate.of);
    case 'all':
    case 'any':
      return predicate.of.some(asksForOther);
    case 'test':
      return predicate.field.kind === 'other' || (predicate.test.kind === 'same' && predicate.test.as.kind === 'other');
  }
}

/**
 * Throws RULE_STREAM_ONLY for a field that rows do not contain: use `candidatesOf` (candidates.ts) to find the rows, and the streaming
 * matcher to decide.
 */
export function conditionOf(predicate: Predicate<Field>, write: WriteText): string {
  switch (predicate.kind) {
    case 'truth':
      return String(predicate.truth);
    case 'not':
      return `NOT (${conditionOf(predicate.of, write)})`;
    case 'all':
    case 'any':
      return predicate.of.map((part) => `(${conditionOf(part, write)})`).join(predicate.kind === 'all' ? ' AND ' : ' OR ');
    case 'test':
      return testOf(fieldText(predicate.field, write), predicate.test, write);
  }
}

/** A text expression that is never NULL. */
export function fieldText(field: Field, write: WriteText): string {
  switch (field.kind) {
    case 'text':
      return field.before === undefined ? field.column : `if(${field.column} = '', '', concat(${write(field.before)}, ${field.column}))`;
    case 'number':
      return `ifNull(toString(${field.column}), '')`;
    case 'other':
      return field.what === 'path' ? 'other_path' : 'other_name';
    case 'derived':
      throw new StenoError('RULE_STREAM_ONLY', 'NormalCommandLine is computed from the arguments of each event');
    case 'data': {
      // JSON functions of ClickHouse count list elements from 1.
      const path = field.path.map((part) => (typeof part === 'number' ? String(part + 1) : write(part))).join(', ');
      // JSONExtractString also converts numbers to text.
      return field.type === 'text'
        ? `if(JSONType(data, ${path}) = 'String', JSONExtractString(data, ${path}), '')`
        : `if(JSONType(data, ${path}) IN ('Int64', 'UInt64'), toString(JSONExtractInt(data, ${path})), '')`;
    }
  }
}

function testOf(text: string, test: Test<Field>, write: WriteText): string {
  switch (test.kind) {
    case 'pattern':
      return test.cased ? patternOf(text, text, test.pattern, write) : patternOf(text, `lower(${text})`, foldPattern(test.pattern), write);
    case 'regex':
      return `${text} != '' AND match(${text}, ${write(test.regex.source)})`;
    case 'network':
      return networkOf(text, test.block);
    case 'number':
      return `ifNull(toInt64OrNull(if(match(${text}, '^-?[0-9]{1,15}$'), ${text}, '')) ${operators[test.is]} ${test.value}, false)`;
    case 'absent':
      return `${text} = ''`;
    case 'same': {
      const other = fieldText(test.as, write);
      const read = (one: string): string => (test.cased ? one : `lower(${one})`);
      return `${other} != '' AND ${partOf(read(text), test.part, read(other))}`;
    }
  }
}

const operators: Readonly<Record<Comparison, string>> = { lt: '<', lte: '<=', gt: '>', gte: '>=' };

function patternOf(raw: string, text: string, pattern: Pattern, write: WriteText): string {
  const shape = shapeOf(pattern);
  switch (shape.kind) {
    case 'present':
      return `${raw} != ''`;
    case 'wild':
      return `${text} LIKE ${write(pattern.map(likePiece).join(''))}`;
    default:
      return partOf(text, shape.kind, write(shape.text));
  }
}

function partOf(text: string, part: Part, of: string): string {
  switch (part) {
    case 'whole':
      return `${text} = ${of}`;
    case 'contains':
      return `position(${text}, ${of}) > 0`;
    case 'startswith':
      return `startsWith(${text}, ${of})`;
    case 'endswith':
      return `endsWith(${text}, ${of})`;
  }
}

function likePiece(piece: Pattern[number]): string {
  if (piece === ANY) return '%';
  if (piece === ONE) return '_';
  return piece.replace(/[\\%_]/g, '\\$&');
}

/**
 * A range of the 16 bytes of an IPv6 address, into which IPv4 is mapped: none of these functions fails on a text that is not an
 * address.
 */
function networkOf(text: string, written: string): string {
  const block = parseBlock(written)!;
  const mapped = block.bytes.length === 4;
  const bytes = mapped ? [...Array<number>(10).fill(0), 0xff, 0xff, ...block.bytes] : [...block.bytes];
  const bits = mapped ? block.bits + 96 : block.bits;
  const highest = bytes.map((byte, i) => byte | (0xff >>> Math.min(8, Math.max(0, bits - 8 * i))));
  const address = `toIPv6OrNull(replaceRegexpOne(${text}, '%[^%]*$', ''))`;
  const inside = `${address} BETWEEN ${ipv6(bytes)} AND ${ipv6(highest)}`;
  // An IPv6 block contains no IPv4 address, although `::/0` includes the range into which IPv4 is mapped.
  return mapped
    ? `ifNull(${inside}, false)`
    : `ifNull(${inside} AND NOT (${address} BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255')), false)`;
}

function ipv6(bytes: readonly number[]): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return `toIPv6('${groups.join(':')}')`;
}
