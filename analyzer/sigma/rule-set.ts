/**
 * Combines rules and filters of many files into one set: applies filters, maps fields, and determines for each rule whether it can be
 * evaluated or what is missing. An invalid document does not prevent the others from loading. Tested in rule-set.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { all, never } from '../predicate/predicate.js';
import { said, sourceOf } from '../sources/log-source.js';
import type { LogSource } from '../sources/log-source.js';
import { mapOnto } from '../sources/mapping.js';
import { isNamed, planCorrelations, unknownRule } from './correlation-plan.js';
import type { CorrelationPlan, EvaluableRule } from './correlation-plan.js';
import { splitRules } from './document.js';
import { parseRule } from './rule.js';
import type { CorrelationRule, DetectionRule, FilterRule, RuleOptions, SigmaDocument } from './rule.js';

export type { CorrelationPlan, EvaluableRule } from './correlation-plan.js';

export interface RuleFile {
  /** For display. */
  readonly name: string;
  readonly text: string;
}

export interface RuleSet {
  readonly evaluable: readonly EvaluableRule[];
  /** In the order in which they are written. */
  readonly correlations: readonly CorrelationPlan[];
  /** Rules that make no finding of their own: a correlation names them and does not set `generate`. */
  readonly silent: ReadonlySet<DetectionRule | CorrelationRule>;
  /** With sentences about features that Steno lacks. */
  readonly lacking: readonly { readonly rule: DetectionRule | CorrelationRule; readonly missing: readonly string[] }[];
  /** RULE_INVALID, one for each invalid document. */
  readonly faults: readonly StenoError[];
}

interface ParsedFile {
  readonly documents: readonly SigmaDocument[];
  readonly faults: readonly StenoError[];
}

/**
 * Parsing is most of the work, and an analyzer loads the same files several times: to check them, together with the rules of the
 * authority, and whenever one of those changes. Only for files that are parsed without options.
 */
const parsedFiles = new WeakMap<RuleFile, ParsedFile>();

function parsed(file: RuleFile, options: RuleOptions | undefined): ParsedFile {
  const before = options === undefined ? parsedFiles.get(file) : undefined;
  if (before !== undefined) return before;
  const { name, text } = file;
  const faults: StenoError[] = [];
  const attempt = <T>(act: () => T, otherwise: T): T => {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
      faults.push(error);
      return otherwise;
    }
  };
  const documents = attempt(() => splitRules(text, name), []).flatMap(({ source, firstLine }) => {
    const document = attempt(() => parseRule(source, name, firstLine, options), null);
    return document === null ? [] : [document];
  });
  const now = { documents, faults };
  if (options === undefined) parsedFiles.set(file, now);
  return now;
}

export function loadRules(files: Iterable<RuleFile>, options?: RuleOptions): RuleSet {
  const each = [...files].map((file) => parsed(file, options));
  const faults = each.flatMap((file) => file.faults);
  const documents = each.flatMap((file) => file.documents);
  const rules = documents.filter((document) => document.kind !== 'filter');
  const ids = new Map<string, DetectionRule | CorrelationRule>();
  const kept = rules.filter((rule) => {
    const other = rule.id === '' ? undefined : ids.get(rule.id);
    if (other === undefined) ids.set(rule.id, rule);
    else faults.push(new StenoError('RULE_INVALID', `${rule.file}:${rule.line}:1: has the id of ${other.file}:${other.line}`));
    return other === undefined;
  });
  const filters = documents.filter((document) => document.kind === 'filter');
  for (const filter of filters) {
    const unknown = filter.rules?.find((name) => !kept.some((rule) => isNamed(rule, name)));
    if (unknown !== undefined) faults.push(unknownRule(filter, unknown));
  }
  const evaluable: EvaluableRule[] = [];
  const lacking: { rule: DetectionRule | CorrelationRule; missing: readonly string[] }[] = [];
  for (const rule of kept) {
    if (rule.kind === 'correlation') continue;
    const made = evaluableOf(
      rule,
      filters.filter((filter) => isFor(filter, rule)),
    );
    if ('missing' in made) lacking.push({ rule, missing: made.missing });
    else evaluable.push(made);
  }
  const planned = planCorrelations(kept, { evaluable, lacking });
  return {
    evaluable,
    correlations: planned.plans,
    silent: planned.silent,
    lacking: [...lacking, ...planned.lacking],
    faults: [...faults, ...planned.faults],
  };
}

function evaluableOf(rule: DetectionRule, filters: readonly FilterRule[]): EvaluableRule | { readonly missing: readonly string[] } {
  const source = sourceOf(rule.logSource);
  const missing = [...rule.missing, ...filters.flatMap((filter) => filter.missing)];
  if ('missing' in source) return { missing: [source.missing, ...missing] };
  const mapped = mapOnto(source, all([rule.predicate, ...filters.map((filter) => filter.predicate)]));
  missing.push(...mapped.missing);
  if (missing.length > 0) return { missing };
  // A rule that no event of this source can match is a mistake of its author, or of the mapping.
  if (mapped.predicate === never) return { missing: [`nothing: no event of ${said(rule.logSource)} can match it`] };
  return { rule, scope: source, predicate: mapped.predicate };
}

/** A filter applies to rules of its own log source; parts of the log source that the filter omits match any. */
function isFor(filter: FilterRule, rule: DetectionRule): boolean {
  const fits = (key: keyof LogSource): boolean => filter.logSource[key] === undefined || filter.logSource[key] === rule.logSource[key];
  if (!fits('product') || !fits('category') || !fits('service')) return false;
  return filter.rules === null || filter.rules.some((name) => isNamed(rule, name));
}
