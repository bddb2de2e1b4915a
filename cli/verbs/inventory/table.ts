/** Verbs about what there is, in the order of the help. */
import type { Verbs } from '../table.js';

export const inventoryVerbs: Verbs = {
  nodes: async () => (await import('./nodes.js')).nodesCommand(),
  tokens: async () => (await import('./nodes.js')).tokensCommand(),
  services: async () => (await import('./services.js')).servicesCommand(),
  agent: async () => (await import('./agent.js')).agentCommand(),
  clusters: async () => (await import('./clusters.js')).clustersCommand(),
  kube: async () => (await import('./kube.js')).kubeCommand(),
  roles: async () => (await import('./resources.js')).rolesCommand(),
  get: async () => (await import('./resources.js')).getCommand(),
  apply: async () => (await import('./resources.js')).applyCommand(),
  edit: async () => (await import('./resources.js')).editCommand(),
  rm: async () => (await import('./resources.js')).rmCommand(),
};
