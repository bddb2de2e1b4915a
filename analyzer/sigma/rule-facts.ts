/** What a list of rules, and a finding, say of a Sigma rule. Tested in rule.test.ts. */
import type { RuleFacts } from '../detection/detector.js';
import type { CorrelationRule, DetectionRule } from './rule.js';

/**
 * A rule that does not say its tier is an alert only from the level `high`: measured on what people ask a shell to do, published rules of the
 * level `medium` match up to one command in a hundred.
 */
export function factsOf({ id, name, title, level, tier, techniques, advice, file }: DetectionRule | CorrelationRule): RuleFacts {
  return {
    id: id !== '' ? id : name !== '' ? name : file,
    title,
    severity: level === 'informational' ? 'info' : level,
    tier: tier ?? (level === 'high' || level === 'critical' ? 'alert' : 'signal'),
    techniques,
    advice,
  };
}
