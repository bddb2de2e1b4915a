import { expect, it } from 'vitest';
import { routeOf, routeOfFile, routeOfSocket } from './escapes.js';

it.each([
  ['/run/systemd/private', 'systemd'],
  ['/run/dbus/system_bus_socket', 'dbus'],
  ['/var/run/dbus/system_bus_socket', 'dbus'],
  ['/run/user/1000/bus', 'dbus'],
  ['/var/run/docker.sock', 'docker'],
  ['/run/containerd/containerd.sock', 'containerd'],
  ['/run/k3s/containerd/containerd.sock', 'containerd'],
  ['/run/crio/crio.sock', 'cri-o'],
  ['/run/podman/podman.sock', 'podman'],
  ['/tmp/tmux-0/default', 'tmux'],
  ['/tmp/docker.sock', null],
  ['/run/nscd/socket', null],
  ['@/run/docker.sock', null],
])('the socket %s: %s', (path, route) => expect(routeOfSocket(path)).toBe(route));

it.each([
  ['/etc/crontab', 'cron'],
  ['/etc/cron.d/x', 'cron'],
  ['/var/spool/cron/crontabs/root', 'cron'],
  ['/var/spool/cron/atjobs/a0001', 'at'],
  ['/var/spool/at/a1', 'at'],
  ['/etc/systemd/system/x.service', 'systemd'],
  ['/home/ana/.config/systemd/user/x.timer', 'systemd'],
  ['/etc/udev/rules.d/9.rules', 'udev'],
  ['/etc/rc.local', 'init'],
  ['/etc/hostname', null],
  ['/tmp/etc/crontab', null],
  ['/etc/cron.d', null],
])('the file %s: %s', (path, route) => expect(routeOfFile(path)).toBe(route));

const unix = (path: string, data: object = {}, outcome = 'success'): string | null =>
  routeOf({ kind: 'connect', name: 'unix', path, outcome, data: { ...data } }, () => false);
it.each([
  ['//var//run/docker.sock', 'docker'],
  ['/proc/self/root/run/docker.sock', 'docker'],
  ['/proc/1/root/proc/self/root/var/run/docker.sock', 'docker'],
  ['/run/x/../docker.sock', 'docker'],
  ['/run/./docker.sock', 'docker'],
  ['/../run/docker.sock', 'docker'],
  ['/run/docker.sock/../x', null],
])('the spelling %s: %s', (path, route) => expect(unix(path)).toBe(route));

it('only what came about is a way out: a login that asks for a bus that is not there is none', () => {
  for (const outcome of ['ENOENT', 'ECONNREFUSED', 'EACCES']) expect(unix('/run/dbus/system_bus_socket', {}, outcome)).toBeNull();
  expect(unix('/run/dbus/system_bus_socket')).toBe('dbus');
});

it('goes by who listens, and whether that is of the session', () => {
  expect(unix('/home/eve/quiet', { peer: 9, peer_name: 'tmux: server', peer_in_session: false })).toBe('tmux');
  expect(unix('/home/eve/quiet', { peer: 9, peer_name: 'tmux: server', peer_in_session: true })).toBeNull();
  expect(unix('/tmp/bus', { peer: 9, peer_name: 'dbus-daemon', peer_in_session: false })).toBe('dbus');
  // Requested through a link; the target is elsewhere.
  expect(unix('/srv/engine', { asked: '/run/docker.sock', peer: 9, peer_name: 'engine', peer_in_session: false })).toBe('docker');
  expect(unix('/run/docker.sock', { peer: 9, peer_name: 'dockerd', peer_in_session: true })).toBeNull();
  expect(unix('/run/mysqld/mysqld.sock', { peer: 9, peer_name: 'mysqld', peer_in_session: false })).toBeNull();
});

const system = (name: string, more: object): string | null =>
  routeOf({ kind: 'system', name, outcome: 'success', data: {}, ...more }, () => false);
const file = (name: string, path: string, more: object = {}, inSession = false): string | null =>
  routeOf({ kind: 'file', name, path, outcome: 'success', data: {}, ...more }, () => inSession);
it('processes outside, helpers of the kernel, and folders of cron by another way', () => {
  expect(system('ptrace', { reason: 'attach', data: { target: 1, target_in_session: false } })).toBe('ptrace');
  expect(system('ptrace', { reason: 'attach', data: { target: 7, target_in_session: true } })).toBeNull();
  expect(system('ptrace', { reason: 'traceme', data: { target_in_session: false } })).toBeNull();
  expect(system('process_vm_writev', { data: { target_in_session: false } })).toBe('memory of another process');
  expect(file('open', '/proc/77/mem', { reason: 'read,write' })).toBe('memory of another process');
  expect(file('open', '/proc/77/mem', { reason: 'read,write' }, true)).toBeNull();
  expect(file('open', '/proc/77/mem', { reason: 'read' })).toBeNull();
  for (const path of [
    '/proc/sys/kernel/core_pattern',
    '/tmp/p/sys/kernel/core_pattern',
    '/sys/fs/cgroup/memory/release_agent',
    '/proc/sys/fs/binfmt_misc/register',
  ]) {
    expect(file('open', path, { reason: 'write' })).toBe('kernel helper');
    expect(file('open', path, { reason: 'read' })).toBeNull();
  }
  expect(system('mount', { path: '/tmp/x', data: { source: '/var/spool/cron/crontabs', flags: 4096 } })).toBe('cron');
  expect(system('mount', { path: '/tmp/x', data: { source: '/var//spool', flags: 4096 } })).toBe('cron');
  expect(system('mount', { path: '/etc/cron.d', data: { source: 'none', flags: 0 } })).toBe('cron');
  expect(system('open_tree', { path: '/etc/systemd/system', data: { flags: 1 } })).toBe('systemd');
  expect(system('mount', { path: '/mnt', data: { source: '/dev/sda1', flags: 0 } })).toBeNull();
  expect(file('rename', '/tmp/aside', { data: { from: '/var/spool/cron/crontabs' } })).toBe('cron');
  expect(file('symlink', '/etc/cron.d')).toBe('cron');
  expect(file('digest', '/etc/cron.d/x')).toBeNull();
});

it('a connection of the machine to itself, where programs are started for others', () => {
  const tcp = (address: string, port: number, local: string, outcome = 'success'): string | null =>
    routeOf({ kind: 'connect', name: 'tcp', address, port, outcome, data: { local_address: local } }, () => false);
  expect([
    tcp('127.0.0.1', 22, '127.0.0.1'),
    tcp('::1', 22, '::1'),
    tcp('10.0.0.7', 22, '10.0.0.7'),
    tcp('127.0.0.2', 2375, '127.0.0.1', 'in_progress'),
  ]).toEqual(['ssh', 'ssh', 'ssh', 'docker']);
  expect([tcp('10.0.0.8', 22, '10.0.0.7'), tcp('127.0.0.1', 80, '127.0.0.1'), tcp('127.0.0.1', 22, '127.0.0.1', 'ECONNREFUSED')]).toEqual([
    null,
    null,
    null,
  ]);
});
