/**
 * The manifests of agents on the nodes of a cluster (`steno kube agents`): a pod on each that records what commands in the pods there do in
 * the kernel. deploy/kubernetes/node-agents.yaml is what they look like, and docs/kubernetes.md says why each privilege is needed. Tested in
 * kube-node-agents.test.ts, and in test/kube/node-agents.test.ts in a real cluster.
 */
import { manifestText } from './kube-agent.js';

export interface KubeNodeAgents {
  readonly cluster: string;
  readonly image: string;
  /** By node, as its cluster names it: a token that counts once, and makes whoever joins with it the agent of this node. */
  readonly tokens: ReadonlyMap<string, string>;
  /** `host:port` of tunnel listeners, at least one. */
  readonly gateways: readonly string[];
  readonly caPins: readonly string[];
}

const NAMESPACE = 'steno-node-agents';
const TOKENS = 'steno-node-tokens';

/** The name of the agent in Steno. */
export function nodeAgentName(cluster: string, node: string): string {
  return `kube-${cluster}-${node}`;
}

/** YAML documents for `kubectl apply`. */
export function nodeAgentManifests({ cluster, image, tokens, gateways, caPins }: KubeNodeAgents): string {
  const own = { name: 'steno-node-agent', namespace: NAMESPACE };
  const labels = { app: 'steno-node-agent' };
  const documents = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: own, automountServiceAccountToken: false },
    { apiVersion: 'v1', kind: 'Secret', metadata: { ...own, name: TOKENS }, stringData: Object.fromEntries(tokens) },
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: own,
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: own.name,
            automountServiceAccountToken: false,
            // Processes of containers by the numbers that the kernel gives them, and the mounts of the machine's first one.
            hostPID: true,
            tolerations: [{ operator: 'Exists' }],
            affinity: {
              nodeAffinity: {
                requiredDuringSchedulingIgnoredDuringExecution: {
                  // A field takes one name.
                  nodeSelectorTerms: [...tokens.keys()].map((node) => ({
                    matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }],
                  })),
                },
              },
            },
            containers: [
              {
                name: 'agent',
                image,
                command: ['steno', 'agent'],
                args: [
                  '--ssh=pods',
                  `--name=${nodeAgentName(cluster, '$(NODE)')}`,
                  `--gateway=${gateways.join(',')}`,
                  `--ca-pin=${caPins.join(',')}`,
                  '--token-file=/run/steno/$(NODE)',
                  '--data=/var/lib/steno-agent',
                ],
                env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
                securityContext: {
                  runAsUser: 0,
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  capabilities: { drop: ['ALL'], add: ['BPF', 'PERFMON', 'SYS_PTRACE', 'DAC_READ_SEARCH'] },
                  seccompProfile: { type: 'RuntimeDefault' },
                  appArmorProfile: { type: 'Unconfined' },
                },
                resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '512Mi' } },
                volumeMounts: [
                  { name: 'data', mountPath: '/var/lib/steno-agent' },
                  { name: 'cgroups', mountPath: '/sys/fs/cgroup', readOnly: true },
                  { name: 'tokens', mountPath: '/run/steno', readOnly: true },
                ],
              },
            ],
            volumes: [
              // Keys, certificates, and events that no gateway has taken yet, of this machine: they outlive the pod.
              { name: 'data', hostPath: { path: `/var/lib/steno-agent-${cluster}`, type: 'DirectoryOrCreate' } },
              { name: 'cgroups', hostPath: { path: '/sys/fs/cgroup', type: 'Directory' } },
              // Once all have joined, the tokens may go.
              { name: 'tokens', secret: { secretName: TOKENS, optional: true, defaultMode: 0o400 } },
            ],
          },
        },
      },
    },
  ];
  return manifestText(documents);
}
