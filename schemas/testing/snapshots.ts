/** Random snapshots for property tests, with small sets of names, so that changes collide. */
import fc from 'fast-check';
import type { Snapshot } from '../snapshot.js';

export const emptySnapshot: Snapshot = {
  version: 0,
  ssh_user_ca: [],
  ssh_host_ca: [],
  recording_ca: [],
  recording_ca_retired: [],
  x509_user_ca: [],
  service_ca: [],
  signing: { ssh_host: '', recording: '', service: '', authority: '' },
  roles: [],
  nodes: [],
  locks: [],
  notices: [],
  invitations: [],
  removed_services: [],
  grants: [],
  void_grants: [],
  names_since: {},
  own_since: {},
  cluster: 'main',
  clusters: [],
  kube_clusters: [],
};

const name = fc.constantFrom('a', 'b', 'B', 'c', 'node-10', 'node-9', 'é', '__proto__', 'constructor');
const list = (key: 'name' | 'id' | 'key'): fc.Arbitrary<never> =>
  fc
    .uniqueArray(fc.record({ [key]: name, value: fc.integer({ min: 0, max: 2 }) }), { selector: (item) => item[key] })
    .map((items) => items as never);
const map = fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 2 })), { selector: ([key]) => key });

export const anySnapshot: fc.Arbitrary<Snapshot> = fc
  .record({
    roles: list('name'),
    nodes: list('name'),
    locks: list('id'),
    grants: list('id'),
    void_grants: list('id'),
    clusters: list('name'),
    removed_services: list('key'),
    kube_clusters: list('name'),
    names_since: map.map((entries) => Object.fromEntries(entries)),
    own_since: map.map((entries) => Object.fromEntries(entries)),
    ssh_user_ca: fc.subarray(['one', 'two']),
    cluster: fc.constantFrom('main', 'east'),
  })
  .map((fields) => ({ ...emptySnapshot, ...fields }));
