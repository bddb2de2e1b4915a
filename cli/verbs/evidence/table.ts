/** Verbs that take evidence out and check it, in the order of the help. */
import type { Verbs } from '../table.js';

export const evidenceVerbs: Verbs = {
  export: async () => (await import('./export.js')).exportCommand(),
  files: async () => (await import('./files.js')).filesCommand(),
  verify: async () => (await import('./verify.js')).verifyCommand(),
  evidence: async () => (await import('../sql/evidence.js')).evidenceCommand(),
};
