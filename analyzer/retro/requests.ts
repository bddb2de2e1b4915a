/**
 * Runs a hunt as a user requests it: with rules as text or by name, and with a comparison of the matches with existing findings. Tested
 * in test/kernel/hunt.test.ts.
 */
import type { HuntLine, HuntRequest, HuntedRule } from '#schemas/api/recordings/hunts.js';
import { StenoError } from '#schemas/base/errors.js';
import { builtInRules } from '../detectors/rule-book.js';
import { factsOf } from '../sigma/rule-facts.js';
import { readRuleFiles } from '../sigma/rule-files.js';
import { loadRules } from '../sigma/rule-set.js';
import type { EvaluableRule, RuleSet } from '../sigma/rule-set.js';
import { hunt } from './hunt.js';
import type { EventReader, RuleMatches } from './hunt.js';

/** Maximum number of rules in one hunt. */
const MAX_RULES = 2_000;

/** Throws RULE_INVALID, NOT_FOUND and RULES_TOO_LARGE before the first line. */
export async function* huntLines(
  request: HuntRequest,
  reader: EventReader,
  clock: () => number,
  signal?: AbortSignal,
): AsyncGenerator<HuntLine> {
  const { evaluable, lacking } = withoutPurposes(rulesOf(request.rules));
  if (evaluable.length > MAX_RULES) throw new StenoError('RULES_TOO_LARGE', `${evaluable.length} rules, where a hunt takes ${MAX_RULES}`);
  yield { kind: 'rules', rules: evaluable.length, lacking: lacking.map(({ rule: { title }, missing }) => ({ title, missing })) };
  const searched = evaluable.map(({ rule, scope, predicate }) => ({ scope, predicate, id: factsOf(rule).id }));
  for await (const step of hunt(reader, searched, request, clock, signal)) {
    if (step.kind === 'progress') yield step;
    else yield { kind: 'result', range: step.range, rules: step.rules.map((matches, i) => hunted(evaluable[i]!, matches)) };
  }
}

/** A hunt searches events; it does not know the access requests of a session. */
function withoutPurposes({ evaluable, lacking }: RuleSet): Pick<RuleSet, 'evaluable' | 'lacking'> {
  const missing = ['the reasons of access requests, which a hunt does not read'];
  return {
    evaluable: evaluable.filter(({ rule }) => rule.purpose === null),
    lacking: [...lacking, ...evaluable.filter(({ rule }) => rule.purpose !== null).map(({ rule }) => ({ rule, missing }))],
  };
}

function rulesOf(asked: HuntRequest['rules']): RuleSet {
  if (asked.kind === 'text') {
    const set = loadRules([asked]);
    const [fault] = set.faults;
    if (fault !== undefined) throw fault;
    return set;
  }
  const folder = builtInRules();
  const set = loadRules(folder === null ? [] : readRuleFiles(folder).rules);
  if (asked.id === '*') return set;
  const isAsked = ({ rule }: { readonly rule: EvaluableRule['rule'] | RuleSet['lacking'][number]['rule'] }): boolean =>
    factsOf(rule).id === asked.id;
  const found = { ...set, evaluable: set.evaluable.filter(isAsked), lacking: set.lacking.filter(isAsked) };
  if (found.evaluable.length + found.lacking.length === 0)
    throw new StenoError('NOT_FOUND', `no rule that comes with Steno has the id ${asked.id}`);
  return found;
}

function hunted({ rule }: EvaluableRule, { examples, ...matches }: RuleMatches): HuntedRule {
  const { id, title, severity } = factsOf(rule);
  return {
    ...{ id, title, level: severity, ...matches },
    examples: examples.map(({ source: _source, emitter: _emitter, block: _block, index: _index, ...shown }) => shown),
  };
}
