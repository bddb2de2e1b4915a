/** Verbs about what was recorded, in the order of the help. */
import type { Verbs } from '../table.js';

export const sessionsVerbs: Verbs = {
  sessions: async () => (await import('./sessions.js')).sessionsCommand(),
  shot: async () => (await import('./shot.js')).shotCommand(),
  join: async () => (await import('./join.js')).joinCommand(),
  invite: async () => (await import('./invite.js')).inviteCommand(),
  invitations: async () => (await import('./invite.js')).invitationsCommand(),
  play: async () => (await import('./play.js')).playCommand(),
  search: async () => (await import('./search.js')).searchCommand(),
  searches: async () => (await import('./searches.js')).searchesCommand(),
  events: async () => (await import('./events.js')).eventsCommand(),
  sql: async () => (await import('../sql/sql.js')).sqlCommand(),
  audit: async () => (await import('./audit.js')).auditCommand(),
  review: async () => (await import('./review.js')).reviewCommand(),
};
