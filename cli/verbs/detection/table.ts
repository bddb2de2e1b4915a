/** Verbs about what is found in events, in the order of the help. */
import type { Verbs } from '../table.js';

export const detectionVerbs: Verbs = {
  rules: async () => (await import('./rules.js')).rulesCommand(),
};
