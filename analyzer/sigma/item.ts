/**
 * One entry of a selection: `Field|modifier|…: value or values`, as in the Sigma modifiers specification 2.1. Modifiers apply from left
 * to right; a meaningless combination is an error. Tested in rule.test.ts.
 */
import { isScalar, isSeq } from 'yaml';
import type { Node, Scalar } from 'yaml';
import { parseBlock } from '#schemas/base/ip-address.js';
import type { RuleField } from '../sources/mapping.js';
import { ANY, patternOf } from '../predicate/pattern.js';
import type { Pattern } from '../predicate/pattern.js';
import { all, any, not, test } from '../predicate/predicate.js';
import type { Comparison, Part, Predicate, Test } from '../predicate/predicate.js';
import { RegexError, compileRegex } from '../predicate/regex.js';
import type { Flag } from '../predicate/regex.js';
import type { RuleDocument } from './document.js';
import { base64Offsets, dashed, encode, parseText, plainText } from './value.js';
import type { Encoding } from './value.js';

export interface Parsing {
  readonly document: RuleDocument;
  /** Values of `%name%`, for `expand`. */
  readonly placeholders: ReadonlyMap<string, readonly string[]>;
  /** Sentences about features that the rule needs and that were not provided. */
  readonly missing: Set<string>;
}

const MAX_VALUES = 10_000;
const MAX_EXPANDED = 1_000;

const parts = ['contains', 'startswith', 'endswith'] as const;
const comparisons = ['lt', 'lte', 'gt', 'gte'] as const;
const encodings: Readonly<Record<string, Encoding>> = { wide: 'utf16le', utf16le: 'utf16le', utf16be: 'utf16be', utf16: 'utf16' };
const timeParts = ['minute', 'hour', 'day', 'week', 'month', 'year'];
const flags: readonly string[] = ['i', 'm', 's'];

/** The combined effect of a list of modifiers. */
interface Modifiers {
  readonly operator: Part | Comparison | 're' | 'cidr' | 'exists' | 'fieldref';
  /** Set by `fieldref`. */
  readonly part: Part;
  readonly flags: readonly Flag[];
  /** In order: encodings, base64, base64offset, windash, expand. */
  readonly changes: readonly string[];
  readonly all: boolean;
  readonly cased: boolean;
  readonly neq: boolean;
}

/** `key` is the text before the colon; `field` of the result is null for keywords. */
export function itemPredicate(key: string, keyNode: Node, value: Node | null, parsing: Parsing): Predicate<RuleField> {
  const [name = '', ...words] = key.split('|');
  const field: RuleField = name === '' ? null : name;
  const modifiers = readModifiers(words, keyNode, parsing);
  if (modifiers === null) return any([]);
  const values = isSeq(value) ? (value.items as Node[]) : [value];
  if (values.length === 0) throw parsing.document.fault(`${key} has no value`, keyNode);
  if (values.length > MAX_VALUES) throw parsing.document.fault(`${key} has more than ${MAX_VALUES} values`, keyNode);
  if (field === null && (modifiers.operator === 'exists' || modifiers.operator === 'fieldref'))
    throw parsing.document.fault(`${modifiers.operator} needs a field`, keyNode);
  const tests = values.map((one) => valuePredicate(field, one, keyNode, modifiers, parsing));
  const joined = modifiers.all ? all(tests) : any(tests);
  return modifiers.neq ? not(joined) : joined;
}

function readModifiers(words: readonly string[], node: Node, { document, missing }: Parsing): Modifiers | null {
  const fault = (message: string): Error => document.fault(message, node);
  const operators: string[] = [];
  const changes: string[] = [];
  const regexFlags: Flag[] = [];
  const marks = new Set<string>();
  for (const [i, word] of words.entries()) {
    if (words.indexOf(word) !== i) throw fault(`the modifier ${word} stands twice`);
    if (flags.includes(word)) {
      if (!operators.includes('re')) throw fault(`the modifier ${word} belongs behind re`);
      regexFlags.push(word as Flag);
    } else if (word === 'all' || word === 'cased' || word === 'neq') marks.add(word);
    else if (Object.hasOwn(encodings, word) || ['base64', 'base64offset', 'windash', 'expand'].includes(word)) {
      if (operators.length > 0) throw fault(`the modifier ${word} changes the text, so it stands before ${operators[0]!}`);
      changes.push(word);
    } else if ([...parts, ...comparisons, 're', 'cidr', 'exists', 'fieldref'].includes(word)) operators.push(word);
    else if (timeParts.includes(word)) {
      missing.add(`modifier ${word}: events have no field that is a date`);
      return null;
    } else throw fault(`there is no modifier ${JSON.stringify(word)}`);
  }
  const isReference = operators.includes('fieldref');
  const rest = operators.filter((word) => word !== 'fieldref');
  if (rest.length > 1) throw fault(`the modifiers ${rest.join(' and ')} exclude each other`);
  const [operator = 'whole'] = rest;
  if (isReference && operator !== 'whole' && !(parts as readonly string[]).includes(operator))
    throw fault(`the modifiers fieldref and ${operator} exclude each other`);
  const isText = operator === 'whole' || (parts as readonly string[]).includes(operator);
  if (changes.length > 0 && (!isText || isReference)) throw fault(`the modifier ${changes[0]!} is for texts`);
  if (marks.has('cased') && !isText) throw fault('the modifier cased is for texts; expressions say (?i) where case does not count');
  return {
    operator: isReference ? 'fieldref' : (operator as Modifiers['operator']),
    part: isText ? (operator as Part) : 'whole',
    flags: regexFlags,
    changes,
    all: marks.has('all'),
    cased: marks.has('cased'),
    neq: marks.has('neq'),
  };
}

function valuePredicate(field: RuleField, node: Node | null, keyNode: Node, modifiers: Modifiers, parsing: Parsing): Predicate<RuleField> {
  const { document } = parsing;
  const value = node === null ? null : isScalar(node) ? node.value : undefined;
  const at = node ?? keyNode;
  const plain = modifiers.operator === 'whole' && modifiers.changes.length === 0;
  if (value === null) {
    if (!plain || field === null) throw document.fault('is nothing (null), which only a field without modifiers may be', at);
    return test(field, { kind: 'absent' });
  }
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean')
    throw document.fault('is neither a text, a number, true, false nor null', at);
  const scalar = node as Scalar;
  switch (modifiers.operator) {
    case 'exists': {
      if (typeof value !== 'boolean') throw document.fault('exists is true or false', at);
      const absent: Predicate<RuleField> = test(field, { kind: 'absent' });
      return value ? not(absent) : absent;
    }
    case 'fieldref':
      if (typeof value !== 'string' || value === '') throw document.fault('fieldref names a field', at);
      return test(field, { kind: 'same', as: value, part: modifiers.part, cased: modifiers.cased });
    case 'lt':
    case 'lte':
    case 'gt':
    case 'gte':
      if (typeof value !== 'number' || !Number.isFinite(value)) throw document.fault(`${modifiers.operator} compares with a number`, at);
      return test(field, { kind: 'number', is: modifiers.operator, value });
    case 'cidr':
      if (typeof value !== 'string' || parseBlock(value) === undefined)
        throw document.fault('is no block of addresses, such as 10.0.0.0/8 or fd00::/8', at);
      return test(field, { kind: 'network', block: value });
    case 're':
      return test(field, regexTest(String(value), scalar, modifiers.flags, parsing));
    default: {
      if (plain && value === '' && field !== null) return test(field, { kind: 'absent' });
      const patterns = typeof value === 'string' ? textsOf(value, scalar, modifiers.changes, parsing) : [patternOf([String(value)])];
      const part = field === null && modifiers.operator === 'whole' ? 'contains' : modifiers.operator;
      return any(
        patterns.map(
          (pattern) => test(field, { kind: 'pattern', pattern: placed(pattern, part), cased: modifiers.cased }) as Predicate<RuleField>,
        ),
      );
    }
  }
}

function regexTest(text: string, node: Scalar, regexFlags: readonly Flag[], { document }: Parsing): Test<RuleField> {
  try {
    return { kind: 'regex', regex: compileRegex(text, regexFlags) };
  } catch (error) {
    if (error instanceof RegexError) throw document.fault(`the expression ${error.message}`, node);
    throw error;
  }
}

function placed(pattern: Pattern, part: Part): Pattern {
  return patternOf([
    ...(part === 'contains' || part === 'endswith' ? [ANY] : []),
    ...pattern,
    ...(part === 'contains' || part === 'startswith' ? [ANY] : []),
  ] as Pattern);
}

/** The texts that a value represents after its modifiers are applied. */
function textsOf(value: string, node: Scalar, changes: readonly string[], parsing: Parsing): readonly Pattern[] {
  const { document } = parsing;
  let patterns: readonly Pattern[] = [parseText(value)];
  let encoding: Encoding = 'utf8';
  for (const change of changes) {
    switch (change) {
      case 'expand':
        patterns = expanded(value, node, parsing);
        break;
      case 'windash':
        patterns = patterns.flatMap((pattern) => {
          const ways = dashed(pattern);
          if (ways === undefined) throw document.fault('has more than four options for windash', node);
          return ways;
        });
        break;
      case 'base64':
      case 'base64offset': {
        const bytes = patterns.map((pattern) => encode(plainOrFault(pattern, change, node, document), encoding));
        encoding = 'utf8';
        patterns = bytes
          .flatMap((one) => (change === 'base64' ? [one.toString('base64')] : base64Offsets(one)))
          .map((text) => patternOf([text]));
        break;
      }
      default:
        if (encoding !== 'utf8') throw document.fault(`the modifier ${change} stands behind another encoding`, node);
        encoding = encodings[change]!;
        for (const pattern of patterns) plainOrFault(pattern, change, node, document);
    }
  }
  if (encoding === 'utf8') return patterns;
  return patterns.map((pattern) => {
    const text = plainText(pattern)!;
    // A row holds text: bytes that are not text cannot be in it.
    if (encoding === 'utf16' || /[^\u0000-\u007f]/.test(text))
      throw document.fault(`${changes.at(-1)!} without base64 makes bytes that are no text`, node);
    return patternOf([encode(text, encoding).toString('latin1')]);
  });
}

function plainOrFault(pattern: Pattern, change: string, node: Scalar, document: RuleDocument): string {
  const text = plainText(pattern);
  if (text === undefined) throw document.fault(`has a wildcard, which ${change} cannot encode; escape it with a backslash`, node);
  return text;
}

/** Every substitution of values for `%name%`. */
function expanded(value: string, node: Scalar, { document, placeholders, missing }: Parsing): readonly Pattern[] {
  let ways: Pattern[] = [[]];
  value.split(/%([\w.-]+)%/).forEach((part, i) => {
    if (i % 2 === 0) {
      ways = ways.map((way) => [...way, ...parseText(part)]);
      return;
    }
    const values = placeholders.get(part);
    if (values === undefined) missing.add(`placeholder %${part}%`);
    if (ways.length * (values?.length ?? 1) > MAX_EXPANDED) throw document.fault(`expands to more than ${MAX_EXPANDED} texts`, node);
    ways = (values ?? []).flatMap((text) => ways.map((way) => [...way, ...parseText(text)]));
  });
  return ways.map(patternOf);
}
