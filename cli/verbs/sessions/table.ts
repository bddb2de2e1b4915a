/** Verbs about what was recorded, in the order of the help. */
import type { Verbs } from '../table.js';

export const sessionsVerbs: Verbs = {
  sessions: async () => (await import('./sessions.js')).sessionsCommand(),
  play: async () => (await import('./play.js')).playCommand(),
  search: async () => (await import('./sessions.js')).searchCommand(),
  events: async () => (await import('./events.js')).eventsCommand(),
  export: async () => (await import('./recording.js')).exportCommand(),
  verify: async () => (await import('./recording.js')).verifyCommand(),
  audit: async () => (await import('./audit.js')).auditCommand(),
  review: async () => (await import('./review.js')).reviewCommand(),
};
