/**
 * Maps field names of a rule to locations in rows. A field that Steno does not have is reported and never treated as absent: in a
 * filter an absent field would suppress nothing, and in a selection it would match nothing. Tested in sources.test.ts.
 */
import type { Field } from '../predicate/field.js';
import { fold, shapeOf } from '../predicate/pattern.js';
import { all, any, not, test } from '../predicate/predicate.js';
import type { Predicate, Test } from '../predicate/predicate.js';
import type { Source, SourceField } from './source.js';

/** A field as a rule names it; null: a keyword, which may be in any text of the event. */
export type RuleField = string | null;

export interface Mapped {
  readonly predicate: Predicate<Field>;
  /** Sentences about features that the rule needs and Steno lacks; the predicate is valid only if there are none. */
  readonly missing: readonly string[];
}

export function mapOnto(source: Source, predicate: Predicate<RuleField>): Mapped {
  const missing = new Set<string>();
  const mapped = map(source, predicate, missing);
  return { predicate: mapped, missing: [...missing] };
}

function map(source: Source, predicate: Predicate<RuleField>, missing: Set<string>): Predicate<Field> {
  switch (predicate.kind) {
    case 'truth':
      return predicate;
    case 'not':
      return not(map(source, predicate.of, missing));
    case 'all':
      return all(predicate.of.map((part) => map(source, part, missing)));
    case 'any':
      return any(predicate.of.map((part) => map(source, part, missing)));
    case 'test':
      return mapTest(source, predicate.field, predicate.test, missing);
  }
}

const unknown: Predicate<never> = { kind: 'truth', truth: false };

function mapTest(source: Source, name: RuleField, of: Test<RuleField>, missing: Set<string>): Predicate<Field> {
  const lack = (what: string): Predicate<never> => {
    missing.add(what);
    return unknown;
  };
  if (of.kind === 'same') {
    const field = fieldOf(source, name);
    const as = fieldOf(source, of.as);
    if (field === undefined || field.kind === 'cases') return lack(withoutField(source, name));
    if (as === undefined || as.kind === 'cases') return lack(withoutField(source, of.as));
    return test(field, { ...of, as });
  }
  if (name === null) {
    if (source.keywords.length === 0) return lack(`keywords: events of ${source.name} have no text that stands for a whole line of a log`);
    return any(source.keywords.map((field) => test(field, of)));
  }
  const field = fieldOf(source, name);
  if (field === undefined) return lack(withoutField(source, name));
  if (field.kind !== 'cases') return test(field, of);
  // Whether the field matches a pattern, or is present at all, cannot be decided for values that rows do not contain.
  const asked = of.kind === 'pattern' ? shapeOf(of.pattern) : null;
  if (asked?.kind !== 'whole') return lack(`field ${name} of ${source.name} with a condition other than a whole text`);
  const isAsked = (text: string): boolean => (of.kind === 'pattern' && of.cased ? text === asked.text : fold(text) === fold(asked.text));
  const met = field.of.filter(({ text }) => isAsked(text));
  if (met.length > 0) return any(met.map(({ when }) => when));
  const known = field.of.map(({ text }) => text).join(', ');
  return lack(`${name} ${JSON.stringify(asked.text)} of ${source.name}: Steno tells of ${known} only`);
}

function fieldOf(source: Source, name: RuleField): SourceField | undefined {
  return name !== null && Object.hasOwn(source.fields, name) ? source.fields[name] : undefined;
}

function withoutField(source: Source, name: RuleField): string {
  return `field ${name ?? '(keyword)'} of ${source.name}`;
}
