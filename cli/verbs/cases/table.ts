/** Verbs about what people make of recordings, in the order of the help. */
import type { Verbs } from '../table.js';

export const casesVerbs: Verbs = {
  cases: async () => (await import('./cases.js')).casesCommand(),
  note: async () => (await import('./notes.js')).noteCommand(),
  notes: async () => (await import('./notes.js')).notesCommand(),
};
