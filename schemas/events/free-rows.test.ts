import { expect, test } from 'vitest';
import { freeEvent, freeRow } from './free-rows.js';
import { eventRow } from './rows.js';

const row = {
  source: 'kernel',
  block: 1,
  index: 2,
  at: 1_000,
  offset_ms: 0,
  kind: 'system',
  user: '',
  node: 'web-1',
  login: '',
  cluster: '',
  namespace: '',
  pod: '',
  container: '',
  path: '',
  size: null,
  sha256: '',
  address: '',
  port: null,
  name: 'module',
  reason: '',
  outcome: '',
  count: null,
  data: '{}',
} as const;
const kube = { ...row, source: 'kubernetes', kind: 'kube', node: '', cluster: 'c1', namespace: 'shop' } as const;

test.each([
  ['a node', row, { kind: 'agent', name: 'web-1' }],
  ['a Kubernetes API', kube, { kind: 'gateway', name: 'gw-1' }],
])('an event about %s becomes a row without a session that names its sender', (_, sent, peer) => {
  const event = freeEvent(freeRow.parse(sent), peer);
  expect(eventRow.parse(event)).toMatchObject({ session: '', emitter: `${peer.kind}/${peer.name}`, kind: sent.kind, raw_kind: '' });
});

test('a kind of a later version is kept under its name', () => {
  const event = freeEvent(freeRow.parse({ ...kube, kind: 'admission' }), { kind: 'gateway', name: 'gw-1' });
  expect(eventRow.parse(event)).toMatchObject({ kind: 'unknown', raw_kind: 'admission' });
});

test.each([
  ['of another node', row, { kind: 'agent', name: 'web-2' }],
  ['of Kubernetes, from an agent', { ...kube, node: 'web-1' }, { kind: 'agent', name: 'web-1' }],
  ['of a kernel, from a gateway', row, { kind: 'gateway', name: 'gw-1' }],
  ['of a recording', { ...row, source: 'recording' }, { kind: 'gateway', name: 'gw-1' }],
  ['from a service that sends no events', kube, { kind: 'authority', name: 'a' }],
])('an event %s is not accepted', (_, sent, peer) => expect(freeEvent(freeRow.parse(sent), peer)).toBeNull());

test.each([
  ['with a session', { ...row, session: '01jd0000000000000000000000' }],
  ['that names its sender', { ...row, emitter: 'agent/web-9' }],
  ['without a time', { ...row, at: undefined }],
  ['with data that is not an object', { ...row, data: '[]' }],
])('a row %s is malformed', (_, sent) => expect(freeRow.safeParse(sent).success).toBe(false));
