/**
 * Kubernetes clusters that gateways serve. ("Cluster" alone is a trusted Steno: documents/cluster.ts.)
 *
 * `KubeClusterRecord` is visible to everybody who may use the cluster; `KubeUpstream` has its address and the credential with which
 * a gateway impersonates users there, which the authority keeps sealed and gives only to gateways. Tested in kube-cluster.test.ts.
 */
import { z } from 'zod';
import { isName } from '../base/identity.js';

/** The DNS name in certificates of gateways, and in no other of Steno's. */
export const KUBE_SERVER_NAME = 'gateway.steno';

/** Headers of a gateway's own text answer to a discovery request: the error code, and the time of the API server's last answer, in ms. */
export const KUBE_REFUSAL_HEADER = 'steno-refusal';
export const KUBE_HEARD_HEADER = 'steno-last-heard';

/** A DNS label, because it is the first segment of the path, a context in kubeconfigs, and part of a row. */
export const kubeClusterName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'is not a cluster name: lower-case letters, digits and dashes, at most 63');

const labels = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,62}$/), z.string().max(255))
  .refine((map) => Object.keys(map).length <= 64, 'are too many');

const pem = (what: string) =>
  z
    .string()
    .max(65_536)
    .regex(new RegExp(`^(?:\\s*-----BEGIN ${what}-----[A-Za-z0-9+/=\\s]+-----END ${what}-----)+\\s*$`), `is not PEM of ${what}`);

/** `https://HOST[:PORT]`, optionally with the path below which the API is served, and nothing else. */
const upstreamUrl = z
  .string()
  .max(300)
  .regex(/^https:\/\/(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?(?:\/[A-Za-z0-9._~-]+)*\/?$/, 'is not https://HOST:PORT');

/** The gateway's credential for the API server. */
const kubeCredential = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('token'),
    token: z
      .string()
      .min(1)
      .max(16_384)
      .regex(/^[A-Za-z0-9._~+/=-]+$/, 'is not a bearer token'),
  }),
  z.strictObject({
    kind: z.literal('certificate'),
    certificate: pem('CERTIFICATE'),
    key: pem('(?:EC |RSA )?PRIVATE KEY'),
  }),
]);

export const directUpstream = z
  .strictObject({
    url: upstreamUrl,
    /** The name in the API server's certificate, if it is not the host of `url`. */
    server_name: z
      .string()
      .max(253)
      .regex(/^[A-Za-z0-9.-]+$/)
      .optional(),
    /** PEM; the system's roots if omitted. */
    ca: pem('CERTIFICATE').optional(),
    credential: kubeCredential,
  })
  .readonly();
export type DirectUpstream = z.output<typeof directUpstream>;

/** Label of a node that leads to a cluster; its value is the cluster's name. Tokens assign it, so no node can set it itself. */
export const KUBE_LABEL = 'steno/kubernetes';

/**
 * Label of the agent on a Kubernetes node: `CLUSTER/NODE`, with the cluster's name for the node. Only administrators of everything and
 * their tokens can assign it, because Steno trusts this agent's reports about pods there.
 */
export const KUBE_NODE_LABEL = 'steno/kubernetes-node';

/** The cluster is reached through the tunnel of a node inside it, whose agent has the credential. */
const inside = z.strictObject({ node: z.string().max(63).refine(isName, 'is not a valid name') }).readonly();

export const kubeUpstream = z.union([directUpstream, inside]);
export type KubeUpstream = z.output<typeof kubeUpstream>;

/** A cluster as the watch reports it. If `revision` changes, fetch its upstream again. */
export const kubeClusterRecord = z.strictObject({ name: kubeClusterName, labels, revision: z.int() }).readonly();
export type KubeClusterRecord = z.output<typeof kubeClusterRecord>;
