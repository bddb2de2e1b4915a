/**
 * Kubernetes clusters that gateways lead to. ("Cluster" alone is a Steno that ours trusts: documents/cluster.ts.)
 *
 * What everybody may know of one, who may use it, is `KubeClusterRecord`; how a gateway reaches it and the credential with which
 * it impersonates users there is `KubeUpstream`, which the authority keeps sealed and tells gateways alone. Tested in
 * kube-cluster.test.ts.
 */
import { z } from 'zod';
import { isName } from '../base/identity.js';

/** The DNS name in certificates of gateways, and in no other of Steno's. */
export const KUBE_SERVER_NAME = 'gateway.steno';

/** Headers of a gateway's own answer to a request for discovery, which is text: the code, and when it last heard from the API server, in ms. */
export const KUBE_REFUSAL_HEADER = 'steno-refusal';
export const KUBE_HEARD_HEADER = 'steno-last-heard';

/** It is the first segment of the path, a context in kubeconfigs, and part of a row: a DNS label. */
export const kubeClusterName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'is no name of a cluster: lower-case letters, digits and dashes, at most 63');

const labels = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,62}$/), z.string().max(255))
  .refine((map) => Object.keys(map).length <= 64, 'are too many');

const pem = (what: string) =>
  z
    .string()
    .max(65_536)
    .regex(new RegExp(`^(?:\\s*-----BEGIN ${what}-----[A-Za-z0-9+/=\\s]+-----END ${what}-----)+\\s*$`), `is not PEM of ${what}`);

/** `https://HOST[:PORT]` or with a path below which the API is; nothing else in it. */
const upstreamUrl = z
  .string()
  .max(300)
  .regex(/^https:\/\/(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?(?:\/[A-Za-z0-9._~-]+)*\/?$/, 'is not https://HOST:PORT');

/** How the gateway shows the API server who it is. */
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
    /** The name to expect in the API server's certificate, where it is not the host of `url`. */
    server_name: z
      .string()
      .max(253)
      .regex(/^[A-Za-z0-9.-]+$/)
      .optional(),
    /** PEM; the system's roots when left out. */
    ca: pem('CERTIFICATE').optional(),
    credential: kubeCredential,
  })
  .readonly();
export type DirectUpstream = z.output<typeof directUpstream>;

/** The label that a node must have to be the way into a cluster: its name. Tokens give it, so no node takes it by itself. */
export const KUBE_LABEL = 'steno/kubernetes';

/**
 * The label by which an agent is the one of a Kubernetes node: `CLUSTER/NODE`, the node as its cluster names it. Only administrators of
 * everything and their tokens give it: who has it is believed about what happens in pods there.
 */
export const KUBE_NODE_LABEL = 'steno/kubernetes-node';

/** Through the tunnel of a node inside the cluster, whose agent has the credential. */
const inside = z.strictObject({ node: z.string().max(63).refine(isName, 'is not a valid name') }).readonly();

export const kubeUpstream = z.union([directUpstream, inside]);
export type KubeUpstream = z.output<typeof kubeUpstream>;

/** A cluster as the watch reports it. If `revision` changes, fetch its upstream again. */
export const kubeClusterRecord = z.strictObject({ name: kubeClusterName, labels, revision: z.int() }).readonly();
export type KubeClusterRecord = z.output<typeof kubeClusterRecord>;
