/**
 * A detection rule as the authority stores it: one Sigma document, with its versions.
 *
 * The authority limits the size of the text and does not parse it. The analyzer parses it and reports the result for each rule in force
 * (docs/decisions/0096). The command parses strictly before it sends a rule. Tested in authority/detection/rules.test.ts.
 */
import { z } from 'zod';

/** A Sigma id or name, or `steno/NAME`. */
const ruleIdPattern = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/;
export const ruleId = z.string().regex(ruleIdPattern, 'is not the id of a rule');
export const MAX_RULE_TEXT = 65_536;
export const MAX_RULES = 5_000;
/** Older versions are deleted. */
export const KEPT_VERSIONS = 50;

/** Origin of the text, as reported by the author's command. */
export const ruleOrigin = z.strictObject({
  /** Relative to the folder that was added, or to its Git repository. */
  file: z.string().max(1024).default(''),
  /** Git commit; '' outside a repository. Ends in `-dirty` if the file has changed since. */
  commit: z
    .string()
    .regex(/^([0-9a-f]{40,64}(-dirty)?)?$/, 'is not a commit')
    .default(''),
});
export type RuleOrigin = z.output<typeof ruleOrigin>;

export const ruleDocument = z.strictObject({
  id: ruleId,
  kind: z.enum(['rule', 'correlation', 'filter']),
  title: z.string().min(1).max(256),
  /** '' for a filter. */
  level: z.enum(['informational', 'low', 'medium', 'high', 'critical', '']),
  text: z.string().min(1).max(MAX_RULE_TEXT),
  origin: ruleOrigin.prefault({}),
});
export type RuleText = z.output<typeof ruleDocument>;

/** loaded: evaluated. lacking: valid, but needs something that Steno lacks. refused: the analyzer cannot parse it. */
export const ruleStates = ['loaded', 'lacking', 'refused'] as const;
