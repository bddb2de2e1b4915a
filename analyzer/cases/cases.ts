/**
 * Tests of rules: files next to the rules that list events which a rule must match or must not match.
 *
 *     rule: 0ef1a1e8-…          # an id; left out: the rule of the file of the same name, without `.test`
 *     cases:
 *       - name: root reads the shadow file
 *         event: { Image: /usr/bin/cat, CommandLine: cat /etc/shadow, User: root }
 *         matches: true
 *
 * A rule with a purpose (docs/rules.md) is tested with the `reason:` of an access request in addition to the event. An event is written
 * with the field names of the rule's log source. Tests of a correlation list several events with times: sequence.ts. Tested in
 * cases.test.ts.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { parseAs } from '#runtime/resources/document.js';
import { isPurpose } from '../purpose/reason.js';
import { RuleMatcher } from '../matching/matcher.js';
import type { CorrelationPlan, EvaluableRule, RuleFile, RuleSet } from '../sigma/rule-set.js';
import { writerOf } from './example-row.js';
import { ExampleError } from './row-writer.js';
import { correlationHolds, event, sequence } from './sequence.js';

const caseFile = z.strictObject({
  rule: z.string().min(1).max(256).optional(),
  cases: z
    .array(
      z
        .strictObject({
          name: z.string().min(1).max(256),
          event: event.optional(),
          events: sequence.optional(),
          /** Reason of an access request, for a rule with a purpose. */
          reason: z.string().max(4096).optional(),
          matches: z.boolean(),
        })
        .refine((one) => (one.event === undefined) !== (one.events === undefined), 'has either event or events'),
    )
    .min(1)
    .max(1_000),
});

export interface CaseResult {
  readonly file: string;
  /** The rule's title. */
  readonly rule: string;
  readonly name: string;
  /** Null: the rule decided as the case says. */
  readonly failure: string | null;
}

/** Throws DOCUMENT_INVALID for a file that is not a test, RULE_INVALID if the tested rule does not exist or cannot be evaluated. */
export function runCases(file: RuleFile, rules: RuleSet): readonly CaseResult[] {
  const { rule: named, cases } = parseAs(file.text, file.name, caseFile);
  const meant = ruleOf(file, named, rules);
  const decides = 'steps' in meant ? null : deciderOf(meant);
  const { purpose } = meant.rule;
  return cases.map(({ name, event, events, reason, matches }) => {
    let failure: string | null = null;
    try {
      if (decides === null && events === undefined) throw new ExampleError('a correlation is tested with events:, each with its time');
      if (decides !== null && event === undefined) throw new ExampleError('only a correlation is tested with several events');
      if ((purpose === null) !== (reason === undefined))
        throw new ExampleError('a rule with a purpose, and no other, is tested with a reason:');
      const matched =
        (decides === null ? correlationHolds(meant as CorrelationPlan, events!) : decides(event!)) &&
        (purpose === null || isPurpose(purpose, reason!));
      if (matched !== matches) failure = matched ? 'matches, and should not' : 'does not match, and should';
    } catch (error) {
      if (!(error instanceof ExampleError)) throw error;
      failure = error.message;
    }
    return { file: file.name, rule: meant.rule.title, name, failure };
  });
}

function deciderOf({ scope, predicate }: EvaluableRule): (facts: z.output<typeof event>) => boolean {
  const only = new RuleMatcher([{ scope, predicate }]);
  const taken = new RuleMatcher([{ scope, predicate: { kind: 'truth', truth: true } }]);
  return (facts) => {
    const writer = writerOf(scope, facts);
    const row = writer.row();
    if (taken.match(row).length === 0) throw new ExampleError(`${scope.name} takes no such event`);
    return only.match(row, writer.other).length > 0;
  };
}

/** In a file with several rules, the one that makes findings, if there is only one. */
function ruleOf(file: RuleFile, named: string | undefined, rules: RuleSet): EvaluableRule | CorrelationPlan {
  const { evaluable, correlations, silent, lacking } = rules;
  const beside = file.name.replace(/\.test(\.ya?ml)$/, '$1');
  const isMeant = ({ rule }: RuleSet['lacking'][number] | EvaluableRule | CorrelationPlan): boolean =>
    named === undefined ? rule.file === beside && !silent.has(rule) : rule.id === named.toLowerCase() || rule.name === named;
  const found = [...evaluable, ...correlations].filter(isMeant);
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
