/**
 * The manifests of the agent inside a cluster (`steno kube add --agent`): a pod that only dials out, whose service account may impersonate
 * users and groups and nothing else. deploy/kubernetes/agent.yaml is what they look like. Tested in kube-agent.test.ts, and in
 * test/kube/agent.test.ts against a real cluster.
 */
import { stringify } from 'yaml';

export interface KubeAgent {
  /** Name of the node as which it joins. */
  readonly name: string;
  readonly image: string;
  readonly token: string;
  /** `host:port` of tunnel listeners, at least one. */
  readonly gateways: readonly string[];
  readonly caPins: readonly string[];
}

const NAMESPACE = 'steno-agent';
/** Uid of the account in the service image (deploy/container/Containerfile). */
const UID = 10_001;

/** YAML documents for `kubectl apply`. */
export function agentManifests({ name, image, token, gateways, caPins }: KubeAgent): string {
  const own = { name: 'steno-agent', namespace: NAMESPACE };
  const labels = { app: 'steno-agent' };
  const documents = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: own },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'steno-agent' },
      rules: [{ apiGroups: [''], resources: ['users', 'groups'], verbs: ['impersonate'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'steno-agent' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'steno-agent' },
      subjects: [{ kind: 'ServiceAccount', ...own }],
    },
    { apiVersion: 'v1', kind: 'Secret', metadata: { ...own, name: 'steno-agent-token' }, stringData: { token } },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: own,
      spec: {
        serviceName: 'steno-agent',
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: 'steno-agent',
            securityContext: {
              runAsNonRoot: true,
              ...{ runAsUser: UID, runAsGroup: UID, fsGroup: UID },
              seccompProfile: { type: 'RuntimeDefault' },
            },
            containers: [
              {
                name: 'agent',
                image,
                args: [
                  'agent',
                  '--ssh=kubernetes',
                  `--name=${name}`,
                  `--gateway=${gateways.join(',')}`,
                  `--ca-pin=${caPins.join(',')}`,
                  '--token-file=/run/steno/token',
                  '--data=/var/lib/steno',
                ],
                securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
                resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '512Mi' } },
                volumeMounts: [
                  { name: 'data', mountPath: '/var/lib/steno' },
                  { name: 'token', mountPath: '/run/steno', readOnly: true },
                ],
              },
            ],
            volumes: [{ name: 'token', secret: { secretName: 'steno-agent-token' } }],
          },
        },
        // Its keys and certificates: the token counts once, so a pod that is made anew needs them.
        volumeClaimTemplates: [
          { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '16Mi' } } } },
        ],
      },
    },
  ];
  return manifestText(documents);
}

/** As `kubectl apply -f -` takes them. */
export function manifestText(documents: readonly object[]): string {
  return documents.map((document) => stringify(document, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n');
}
