/**
 * One document of the Sigma specification 2.1: a rule, a correlation, or a filter for rules. Fields that the specification defines are
 * read strictly; it allows other fields, which are ignored here. Tested in rule.test.ts.
 */
import type { Node } from 'yaml';
import { tiers } from '#schemas/events/rows.js';
import type { Tier } from '#schemas/events/rows.js';
import type { LogSource } from '../sources/log-source.js';
import type { RuleField } from '../sources/mapping.js';
import type { Predicate } from '../predicate/predicate.js';
import { parseCorrelation } from './correlation.js';
import type { Correlation } from './correlation.js';
import { parseDetection } from './detection.js';
import { RuleDocument } from './document.js';
import type { Entry } from './document.js';
import type { Parsing } from './item.js';

export const levels = ['informational', 'low', 'medium', 'high', 'critical'] as const;
/** Phrases of the reason of an access request, in lower case (../purpose/reason.ts). */
export interface Purpose {
  /** The reason must contain one of these; none: any reason. */
  readonly reason: readonly string[];
  /** The reason must contain none of these. */
  readonly unless: readonly string[];
}
export type Level = (typeof levels)[number];
const statuses = ['stable', 'test', 'experimental', 'deprecated', 'unsupported'] as const;
export type Status = (typeof statuses)[number];

interface Head {
  readonly file: string;
  readonly line: number;
  readonly title: string;
  /** A UUID; '' for none. */
  readonly id: string;
  /** For correlations: the name by which others refer to the rule. '' for none. */
  readonly name: string;
  /** `modified`, otherwise `date`, as a number such as 20260131; 0 for neither. */
  readonly day: number;
}

/** Documents that make findings: rules and correlations. */
interface Finding extends Head {
  readonly level: Level;
  readonly status: Status | null;
  readonly description: string;
  readonly tags: readonly string[];
  /** ATT&CK ids, as in `T1003.008`. */
  readonly techniques: readonly string[];
  /** From the tag `steno.tier.…`; null if the rule has none. */
  readonly tier: Tier | null;
  /** Advice on what the reader of a finding should do next: `steno: { advice: … }`. '' for none. */
  readonly advice: string;
  /** The rule applies only under access requests whose reasons fit; null: under any reason, and without a request. */
  readonly purpose: Purpose | null;
  /** Features that the rule needs and that were not provided or are not supported here. */
  readonly missing: readonly string[];
}

export interface DetectionRule extends Finding {
  readonly kind: 'rule';
  readonly logSource: LogSource;
  readonly predicate: Predicate<RuleField>;
}

export interface CorrelationRule extends Finding {
  readonly kind: 'correlation';
  readonly correlation: Correlation;
}

export interface FilterRule extends Head {
  readonly kind: 'filter';
  readonly logSource: LogSource;
  /** Ids or names of the rules to which it applies; null: every rule of its log source. */
  readonly rules: readonly string[] | null;
  readonly predicate: Predicate<RuleField>;
  readonly missing: readonly string[];
}

export type SigmaDocument = DetectionRule | CorrelationRule | FilterRule;

export interface RuleOptions {
  /** Values of `%name%`, for the modifier `expand`. */
  readonly placeholders?: ReadonlyMap<string, readonly string[]>;
}

/** Throws RULE_INVALID with file, line and column. */
export function parseRule(source: string, file: string, firstLine: number, { placeholders = new Map() }: RuleOptions = {}): SigmaDocument {
  const document = new RuleDocument(source, file, firstLine);
  const entries = document.entries(document.root, 'a rule');
  const body = entries.filter(({ key }) => ['detection', 'filter', 'correlation'].includes(key));
  const [only, second] = body;
  if (only === undefined) throw document.fault('has neither detection, filter nor correlation', document.root);
  if (second !== undefined) throw document.fault(`has both ${only.key} and ${second.key}`, second.keyNode);
  const head = headOf(document, entries);
  const parsing: Parsing = { document, placeholders, missing: new Set() };
  switch (only.key) {
    case 'correlation': {
      const correlation = parseCorrelation(document, only);
      return { kind: 'correlation', ...head, ...findingOf(document, entries), correlation, missing: [] };
    }
    case 'filter': {
      const { inner, condition } = bodyOf(document, only);
      const rules = inner.find(({ key }) => key === 'rules');
      if (rules === undefined) throw document.fault('filter names no rules; there is rules: any', only.keyNode);
      const named = document.texts(rules.value, 'rules', 1_000).map(({ text }) => text);
      if (named.length === 0) throw document.fault('names no rule', rules.keyNode);
      const { predicate, aggregation } = parseDetection(
        inner.filter(({ key }) => key !== 'condition' && key !== 'rules'),
        condition,
        parsing,
      );
      if (aggregation !== null) throw document.fault('a filter has no aggregation', condition);
      return {
        kind: 'filter',
        ...head,
        logSource: logSourceOf(document, entries),
        rules: named.length === 1 && named[0] === 'any' ? null : named,
        predicate,
        missing: [...parsing.missing],
      };
    }
    default: {
      const { inner, condition } = bodyOf(document, only);
      // From Sigma 1, for aggregations.
      const searches = inner.filter(({ key }) => key !== 'condition' && key !== 'timeframe');
      const { predicate, aggregation } = parseDetection(searches, condition, parsing);
      if (aggregation !== null)
        parsing.missing.add(`condition "| ${aggregation.slice(0, 100)}": an aggregation of Sigma 1; write a correlation`);
      return {
        kind: 'rule',
        ...head,
        ...findingOf(document, entries),
        logSource: logSourceOf(document, entries),
        predicate,
        missing: [...parsing.missing],
      };
    }
  }
}

function headOf(document: RuleDocument, entries: readonly Entry[]): Head {
  const title = document.text(entries, 'title', 256);
  if (title === undefined) throw document.fault('has no title', document.root);
  const id = document.text(entries, 'id', 64) ?? '';
  if (id !== '' && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) throw document.fault('id is a UUID', nodeAt(entries, 'id'));
  let day = 0;
  for (const key of ['date', 'modified']) {
    const text = document.text(entries, key, 32);
    if (text !== undefined && !/^\d{4}[-/]\d{2}[-/]\d{2}$/.test(text))
      throw document.fault(`${key} is a day, as in 2026-01-31`, nodeAt(entries, key));
    if (text !== undefined) day = Number(text.replace(/[-/]/g, ''));
  }
  return {
    file: document.file,
    line: document.firstLine,
    title,
    id: id.toLowerCase(),
    name: document.text(entries, 'name', 256) ?? '',
    day,
  };
}

function findingOf(document: RuleDocument, entries: readonly Entry[]): Omit<Finding, keyof Head | 'missing'> {
  const tags = tagsOf(document, entries);
  return {
    level: choice(document, entries, 'level', levels) ?? 'medium',
    status: choice(document, entries, 'status', statuses) ?? null,
    description: document.text(entries, 'description', 65_535) ?? '',
    tags,
    tier: tierOf(document, entries, tags),
    ...ownOf(document, entries),
    techniques: tags.filter((tag) => /^attack\.t\d{4}(?:\.\d{3})?$/i.test(tag)).map((tag) => tag.slice('attack.'.length).toUpperCase()),
  };
}

function tierOf(document: RuleDocument, entries: readonly Entry[], tags: readonly string[]): Tier | null {
  const written = tags.filter((tag) => /^steno\.tier\./i.test(tag));
  const found = tiers.filter((tier) => written.some((tag) => tag.toLowerCase() === `steno.tier.${tier}`));
  if (written.length > 1 || found.length !== written.length)
    throw document.fault(`a rule has one of the tags ${tiers.map((tier) => `steno.tier.${tier}`).join(', ')}`, nodeAt(entries, 'tags'));
  return found[0] ?? null;
}

/** `steno: { advice: …, purpose: { reason: […], unless: […] } }` */
function ownOf(document: RuleDocument, entries: readonly Entry[]): Pick<Finding, 'advice' | 'purpose'> {
  const entry = entries.find(({ key }) => key === 'steno');
  if (entry === undefined) return { advice: '', purpose: null };
  const inner = document.entries(entry.value, 'steno');
  const other = inner.find(({ key }) => key !== 'advice' && key !== 'purpose');
  if (other !== undefined) throw document.fault('steno has advice and purpose, and nothing else', other.keyNode);
  const purpose = inner.find(({ key }) => key === 'purpose');
  return { advice: document.text(inner, 'advice', 1_024) ?? '', purpose: purpose === undefined ? null : purposeOf(document, purpose) };
}

function purposeOf(document: RuleDocument, entry: Entry): Purpose {
  const inner = document.entries(entry.value, 'purpose');
  const other = inner.find(({ key }) => key !== 'reason' && key !== 'unless');
  if (other !== undefined) throw document.fault('purpose has reason and unless, and nothing else', other.keyNode);
  const phrases = (key: string): readonly string[] => {
    const found = inner.find((one) => one.key === key);
    return found === undefined ? [] : document.texts(found.value, key, 256).map(({ text }) => text.toLowerCase());
  };
  const purpose = { reason: phrases('reason'), unless: phrases('unless') };
  if (purpose.reason.length + purpose.unless.length === 0) throw document.fault('purpose names neither reason nor unless', entry.keyNode);
  return purpose;
}

function logSourceOf(document: RuleDocument, entries: readonly Entry[]): LogSource {
  const entry = entries.find(({ key }) => key === 'logsource');
  if (entry === undefined) throw document.fault('has no logsource', document.root);
  const inner = document.entries(entry.value, 'logsource');
  const [category, product, service] = ['category', 'product', 'service'].map((key) => document.text(inner, key, 256)?.toLowerCase());
  if (category === undefined && product === undefined && service === undefined)
    throw document.fault('logsource names no category, product or service', entry.keyNode);
  return { category, product, service };
}

function bodyOf(document: RuleDocument, entry: Entry): { readonly inner: readonly Entry[]; readonly condition: Node } {
  const inner = document.entries(entry.value, entry.key);
  const condition = inner.find(({ key }) => key === 'condition');
  if (condition === undefined) throw document.fault(`${entry.key} has no condition`, entry.keyNode);
  if (condition.value === null) throw document.fault('condition is empty', condition.keyNode);
  return { inner, condition: condition.value };
}

function tagsOf(document: RuleDocument, entries: readonly Entry[]): readonly string[] {
  const entry = entries.find(({ key }) => key === 'tags');
  if (entry === undefined) return [];
  return document.texts(entry.value, 'tags', 1_000).map(({ text, node }) => {
    if (!/^[\w-]+\.[\w.-]+$/.test(text)) throw document.fault('a tag has a namespace and a dot, as in attack.t1059', node);
    return text;
  });
}

function choice<T extends string>(document: RuleDocument, entries: readonly Entry[], key: string, of: readonly T[]): T | undefined {
  const text = document.text(entries, key, 64);
  if (text === undefined) return undefined;
  if (!(of as readonly string[]).includes(text)) throw document.fault(`${key} is one of ${of.join(', ')}`, nodeAt(entries, key));
  return text as T;
}

function nodeAt(entries: readonly Entry[], key: string): Node | null {
  return entries.find((entry) => entry.key === key)?.value ?? null;
}
