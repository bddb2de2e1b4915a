/** `steno rules coverage`: which techniques of ATT&CK rules name, by tactic, and which ids of theirs are none. */
import { StenoError } from '#schemas/base/errors.js';
import { faultOfTechnique, techniques } from '../../../analyzer/attack/attack.js';
import { attackRelease, attackTactics } from '../../../analyzer/attack/table.js';
import { ownRuleFiles } from '../../../analyzer/library/own-rules.js';
import { recorderDetectors } from '../../../analyzer/recorder-rules/recorder-rules.js';
import { readRuleFiles } from '../../../analyzer/sigma/rule-files.js';
import { factsOf } from '../../../analyzer/sigma/rule-facts.js';
import { loadRules } from '../../../analyzer/sigma/rule-set.js';
import type { RuleSet } from '../../../analyzer/sigma/rule-set.js';
import { json, standardOutput, styled, table } from '../../terminal/output.js';

interface Covered {
  readonly id: string;
  readonly name: string;
  readonly signal: number;
  /** Rules of the tiers alert and session. */
  readonly alert: number;
}

/** Without a path: the rules that Steno comes with. */
export function showCoverage(path: string | undefined, options: { readonly json?: boolean }): void {
  const set = loadRules((path === undefined ? ownRuleFiles() : readRuleFiles(path)).rules);
  const facts = [
    ...[...set.evaluable.map(({ rule }) => rule), ...set.correlations.map(({ rule }) => rule)].map(factsOf),
    ...(path === undefined ? recorderDetectors().flatMap(({ rules }) => rules) : []),
  ];
  const counts = new Map<string, { signal: number; alert: number }>();
  for (const { tier, techniques: ids } of facts) {
    for (const id of ids) {
      const count = counts.get(id) ?? { signal: 0, alert: 0 };
      counts.set(id, count);
      count[tier === 'signal' ? 'signal' : 'alert'] += 1;
    }
  }
  const tactics = attackTactics.map(([tactic, title]) => {
    const all = [...techniques.values()].filter((technique) => technique.tactics.includes(tactic));
    const covered = all.flatMap(({ id, name }): Covered[] => {
      const count = counts.get(id);
      return count === undefined ? [] : [{ id, name, ...count }];
    });
    return { tactic, title, techniques: all.length, covered };
  });
  if (options.json === true) {
    json(standardOutput, { release: attackRelease, tactics });
    return;
  }
  for (const { title, techniques: all, covered } of tactics) {
    standardOutput.out.write(`${styled(standardOutput.out, standardOutput.env, 'bold', title)}  ${covered.length} of ${all}\n`);
    table<Covered>(standardOutput, covered, [
      { title: '  TECHNIQUE', value: ({ id }) => `  ${id}` },
      { title: 'SIGNALS', value: ({ signal }) => String(signal), align: 'right' },
      { title: 'ALERTS', value: ({ alert }) => String(alert), align: 'right' },
      { title: 'NAME', value: ({ name }) => name },
    ]);
  }
  const named = [...counts.keys()].filter((id) => techniques.has(id)).length;
  standardOutput.err.write(`${facts.length} rules, ${named} techniques of ATT&CK (${attackRelease})\n`);
}

/** Ids of rules that are none. */
export function faultsOfTechniques({ evaluable, correlations, lacking }: RuleSet): readonly StenoError[] {
  return [...evaluable, ...correlations, ...lacking].flatMap(({ rule }) =>
    rule.techniques.flatMap((id) => {
      const fault = faultOfTechnique(id);
      return fault === null ? [] : [new StenoError('RULE_INVALID', `${rule.file}:${rule.line}:1: ${fault}`)];
    }),
  );
}
