/** The rules that Steno comes with: the files of `analyzer/rules/`. Tested in own-rules.test.ts. */
import { StenoError } from '#schemas/base/errors.js';
import { builtInRules } from '../detectors/rule-book.js';
import { readRuleFiles } from '../sigma/rule-files.js';
import type { RuleFolder } from '../sigma/rule-files.js';
import { loadRules } from '../sigma/rule-set.js';
import type { RuleSet } from '../sigma/rule-set.js';

export function ownRuleFiles(): RuleFolder {
  const folder = builtInRules();
  if (folder === null) throw new StenoError('NOT_FOUND', 'the rules that come with Steno');
  return readRuleFiles(folder);
}

/** Throws RULE_INVALID, which is a bug: Steno's own rules must be valid. */
export function ownRules(): RuleSet {
  const set = loadRules(ownRuleFiles().rules);
  const [fault] = set.faults;
  if (fault !== undefined) throw fault;
  return set;
}
