/** What a session leads to. Whoever adds a front door adds a kind here, and the compiler names what has to know it. */
import type { Target } from '#schemas/base/identity.js';

/** A login on a node. Clusters and pods of Kubernetes are to become further kinds. */
export type SessionTarget = { readonly kind: 'node' } & Target;
