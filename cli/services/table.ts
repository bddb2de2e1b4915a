/** Verbs that run services of Steno, in the order of the help. The client's package has none of them. */
import type { Verbs } from '../verbs/table.js';

export const serviceVerbs: Verbs = {
  authority: async () => (await import('./command.js')).serviceCommand('authority'),
  gateway: async () => (await import('./command.js')).serviceCommand('gateway'),
  ingest: async () => (await import('./command.js')).serviceCommand('ingest'),
  viewer: async () => (await import('./command.js')).serviceCommand('viewer'),
  analyzer: async () => (await import('./command.js')).serviceCommand('analyzer'),
  store: async () => (await import('./command.js')).serviceCommand('store'),
};
