import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { agentManifests } from './kube-agent.js';

const example = {
  name: 'kube-prod',
  image: 'registry.example.com/steno:1',
  token: 'TOKEN',
  gateways: ['gateway.example.com:3023'],
  caPins: ['sha256:PIN'],
};

test('deploy/kubernetes/agent.yaml is what `steno kube add --agent` prints', () => {
  const kept = readFileSync(new URL('../../deploy/kubernetes/agent.yaml', import.meta.url), 'utf8');
  expect(kept.replace(/^#.*\n/gm, '')).toBe(agentManifests(example));
});

test('values stay values, whatever is in them', () => {
  const odd = { ...example, image: 'a: b\n---\nkind: Role', token: '"\n- x' };
  const documents = parseAllDocuments(agentManifests(odd)).map((document) => document.toJS() as Record<string, unknown>);
  expect(documents.map(({ kind }) => kind)).toEqual([
    ...['Namespace', 'ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Secret', 'StatefulSet'],
  ]);
  expect(documents[4]).toMatchObject({ stringData: { token: odd.token } });
  expect(documents[2]).toMatchObject({ rules: [{ apiGroups: [''], resources: ['users', 'groups'], verbs: ['impersonate'] }] });
});
