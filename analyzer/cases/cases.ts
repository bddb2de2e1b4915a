/**
 * Tests of rules: files beside them that say which events a rule matches and which it does not.
 *
 *     rule: 0ef1a1e8-…          # an id; left out: the rule of the file of the same name, without `.test`
 *     cases:
 *       - name: root reads the shadow file
 *         event: { Image: /usr/bin/cat, CommandLine: cat /etc/shadow, User: root }
 *         matches: true
 *
 * An event is written with the field names of the rule's log source. Tested in cases.test.ts.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { parseAs } from '#runtime/resources/document.js';
import { RuleMatcher } from '../matching/matcher.js';
import type { EvaluableRule, RuleFile, RuleSet } from '../sigma/rule-set.js';
import { writerOf } from './example-row.js';
import { ExampleError } from './row-writer.js';

const caseFile = z.strictObject({
  rule: z.string().min(1).max(256).optional(),
  cases: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(256),
        event: z.record(z.string().max(256), z.union([z.string().max(65_536), z.number(), z.boolean()])),
        matches: z.boolean(),
      }),
    )
    .min(1)
    .max(1_000),
});

export interface CaseResult {
  readonly file: string;
  /** The rule's title. */
  readonly rule: string;
  readonly name: string;
  /** Null: it decided as the case says. */
  readonly failure: string | null;
}

/** Throws DOCUMENT_INVALID for a file that is no test, RULE_INVALID for one of no rule that can be evaluated. */
export function runCases(file: RuleFile, rules: RuleSet): readonly CaseResult[] {
  const { rule: named, cases } = parseAs(file.text, file.name, caseFile);
  const { rule, scope, predicate } = ruleOf(file, named, rules);
  const only = new RuleMatcher([{ scope, predicate }]);
  const taken = new RuleMatcher([{ scope, predicate: { kind: 'truth', truth: true } }]);
  return cases.map(({ name, event, matches }) => {
    let failure: string | null = null;
    try {
      const writer = writerOf(scope, event);
      const row = writer.row();
      const matched = only.match(row, writer.other).length > 0;
      if (taken.match(row).length === 0) failure = `${scope.name} takes no such event`;
      else if (matched !== matches) failure = matched ? 'matches, and should not' : 'does not match, and should';
    } catch (error) {
      if (!(error instanceof ExampleError)) throw error;
      failure = error.message;
    }
    return { file: file.name, rule: rule.title, name, failure };
  });
}

function ruleOf(file: RuleFile, named: string | undefined, { evaluable, lacking }: RuleSet): EvaluableRule {
  const beside = file.name.replace(/\.test(\.ya?ml)$/, '$1');
  const isMeant = ({ rule }: RuleSet['lacking'][number] | EvaluableRule): boolean =>
    named === undefined ? rule.file === beside : rule.id === named.toLowerCase() || rule.name === named;
  const found = evaluable.filter(isMeant);
  const [only] = found;
  if (found.length > 1) throw new StenoError('RULE_INVALID', `${file.name}:1:1: ${beside} has several rules; name one by rule:`);
  if (only !== undefined) return only;
  const missing = lacking.find(isMeant)?.missing;
  throw new StenoError(
    'RULE_INVALID',
    missing === undefined
      ? `${file.name}:1:1: there is no rule ${named ?? `in ${beside}`}`
      : `${file.name}:1:1: the rule cannot be evaluated; it needs ${missing.join('; ')}`,
  );
}
