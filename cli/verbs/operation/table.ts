/** Verbs about how it runs, in the order of the help. */
import type { Verbs } from '../table.js';

export const operationVerbs: Verbs = {
  status: async () => (await import('./status.js')).statusCommand(),
  doctor: async () => (await import('./doctor.js')).doctorCommand(),
  ca: async () => (await import('./ca.js')).caCommand(),
  reindex: async () => (await import('./reindex.js')).reindexCommand(),
};
