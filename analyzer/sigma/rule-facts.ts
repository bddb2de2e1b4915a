/** The facts about a Sigma rule that lists of rules and findings show. Tested in rule.test.ts. */
import type { RuleFacts } from '../detection/detector.js';
import type { CorrelationRule, DetectionRule } from './rule.js';

/**
 * A rule that does not specify its tier is an alert only from level `high` on: measured on everyday shell commands, published rules of
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
