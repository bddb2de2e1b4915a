import fc from 'fast-check';
import { expect, it } from 'vitest';
import { hostPathOf, inContainer, wayOut } from './container-place.js';
import type { ContainerPlace } from './container-place.js';
import type { Row } from './row-facts.js';

const place: ContainerPlace = {
  id: 'a'.repeat(64),
  namespace: 'shop',
  pod: 'web',
  mounts: [
    ['/host/cron', '/etc/cron.d'],
    ['/proc', ''],
    ['/host', '/'],
    ['/', '/run/rootfs'],
  ],
  inside: 2,
  machine: 1,
};
const stranger = (): boolean => false;
const file = (path: string, more: Partial<Row> = {}): Row => ({
  kind: 'file',
  name: 'create',
  outcome: 'success',
  path,
  data: {},
  ...more,
});

it.each([
  ['/tmp/x', '/run/rootfs/tmp/x'],
  ['/', '/run/rootfs'],
  ['/host', '/'],
  ['/host/etc/passwd', '/etc/passwd'],
  ['/hosts', '/run/rootfs/hosts'],
  ['/host/cron/job', '/etc/cron.d/job'],
  ['/host/cron', '/etc/cron.d'],
  ['/proc/1/mem', null],
  ['memfd:x', null],
])('%s in the container is %s on the machine', (path, host) => {
  expect(hostPathOf(place, path)).toBe(host);
});

it('a path of the machine is absolute and keeps what follows the mount', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-z]{1,5}$/), { maxLength: 5 }), (names) => {
      const path = hostPathOf(place, `/tmp/${names.join('/')}`);
      expect(path).toBe(`/run/rootfs/tmp/${names.join('/')}`);
    }),
  );
});

it('rows name files as the machine does beside, and executions their container', () => {
  expect(inContainer(file('/a', { data: { from: '/host/b' } }), place).data).toEqual({
    from: '/host/b',
    host_path: '/run/rootfs/a',
    host_from: '/b',
  });
  expect(inContainer(file('/a', { reason: 'write,beginning cut' }), place).data).toEqual({});
  const exec = (namespace: number): unknown =>
    inContainer({ kind: 'exec', path: '/bin/sh', data: { mnt_ns: namespace } }, place).data['host_path'];
  expect([exec(2), exec(1), exec(3)]).toEqual(['/run/rootfs/bin/sh', '/bin/sh', undefined]);
  expect(inContainer({ kind: 'exec', path: '/bin/sh', data: {} }, place).data).toMatchObject({
    container: place.id,
    namespace: 'shop',
    pod_name: 'web',
  });
});

it.each([
  ['a file that the node runs later', file('/host/cron/job', { reason: 'write' }), 'cron of the node'],
  ['the same through a mount of everything', file('/host/etc/systemd/system/x.service'), 'systemd of the node'],
  ['one of the container itself', file('/etc/motd'), null],
  ['a program in the namespace of the node', { kind: 'exec', path: '/bin/sh', data: { mnt_ns: 1 } } as Row, 'namespaces of the node'],
  ['entering that namespace', { kind: 'system', name: 'setns', outcome: 'success', data: { mnt_ns: 1 } } as Row, 'namespaces of the node'],
  ['failing to enter it', { kind: 'system', name: 'setns', outcome: 'failure', data: { mnt_ns: 1 } } as Row, null],
  ['entering another one', { kind: 'system', name: 'setns', outcome: 'success', data: { mnt_ns: 3 } } as Row, null],
  [
    'the root of the node as a root',
    { kind: 'system', name: 'chroot', outcome: 'success', path: '/host', data: { mnt_ns: 2 } } as Row,
    'root of the node',
  ],
  [
    'the root of another process as a root',
    { kind: 'system', name: 'chroot', outcome: 'success', path: '/', data: { mnt_ns: 1 } } as Row,
    'namespaces of the node',
  ],
  [
    'a folder of the node as a root',
    { kind: 'system', name: 'chroot', outcome: 'success', path: '/host/srv', data: { mnt_ns: 2 } } as Row,
    null,
  ],
  ['one in another namespace', { kind: 'exec', path: '/bin/sh', data: { mnt_ns: 2 } } as Row, null],
])('%s: the way out of the container is %s', (_, row, route) => {
  expect(wayOut(inContainer(row, place), place, stranger)).toBe(route);
});
