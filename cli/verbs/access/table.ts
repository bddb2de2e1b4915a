/** Verbs about who gets in, in the order of the help. */
import type { Verbs } from '../table.js';

export const accessVerbs: Verbs = {
  login: async () => (await import('./login.js')).loginCommand(),
  ssh: async () => (await import('./ssh.js')).sshCommand(),
  config: async () => (await import('./ssh.js')).configCommand(),
  users: async () => (await import('./users.js')).usersCommand(),
  bots: async () => (await import('./bots.js')).botsCommand(),
  bot: async () => (await import('./bots.js')).botCommand(),
  access: async () => (await import('./access.js')).accessCommand(),
  request: async () => (await import('./requests.js')).requestCommand(),
  requests: async () => (await import('./requests.js')).requestsCommand(),
  lock: async () => (await import('./locks.js')).lockCommand(),
  locks: async () => (await import('./locks.js')).locksCommand(),
  unlock: async () => (await import('./locks.js')).unlockCommand(),
};
