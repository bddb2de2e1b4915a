import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { nodeAgentManifests } from './kube-node-agents.js';

const example = {
  cluster: 'prod',
  image: 'registry.example.com/steno-agent:1',
  tokens: new Map([
    ['worker-1', 'TOKEN-1'],
    ['worker-2', 'TOKEN-2'],
  ]),
  gateways: ['gateway.example.com:3023'],
  caPins: ['sha256:PIN'],
};

test('deploy/kubernetes/node-agents.yaml is what `steno kube agents` prints', () => {
  const kept = readFileSync(new URL('../../deploy/kubernetes/node-agents.yaml', import.meta.url), 'utf8');
  expect(kept.replace(/^#.*\n/gm, '')).toBe(nodeAgentManifests(example));
});

test('values stay values, and each node has its own token and term', () => {
  const odd = { ...example, image: 'a: b\n---\nkind: Role', tokens: new Map([['ip-10-0-0-1.ec2.internal', '"\n- x']]) };
  const documents = parseAllDocuments(nodeAgentManifests(odd)).map((document) => document.toJS() as Record<string, unknown>);
  expect(documents.map(({ kind }) => kind)).toEqual(['Namespace', 'ServiceAccount', 'Secret', 'DaemonSet']);
  expect(documents[2]).toMatchObject({ stringData: { 'ip-10-0-0-1.ec2.internal': '"\n- x' } });
  const { spec } = documents[3] as { spec: { template: { spec: Record<string, unknown> } } };
  expect(spec.template.spec).toMatchObject({
    containers: [{ image: odd.image }],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchFields: [{ values: ['ip-10-0-0-1.ec2.internal'] }] }],
        },
      },
    },
  });
});
