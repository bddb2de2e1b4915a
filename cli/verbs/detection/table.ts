/** Verbs about what is found in events, in the order of the help. */
import type { Verbs } from '../table.js';

export const detectionVerbs: Verbs = {
  findings: async () => (await import('./findings.js')).findingsCommand(),
  hashes: async () => (await import('./hashes.js')).hashesCommand(),
  honey: async () => (await import('./honey.js')).honeyCommand(),
  hunt: async () => (await import('./hunt.js')).huntCommand(),
  rules: async () => (await import('./rules.js')).rulesCommand(),
};
