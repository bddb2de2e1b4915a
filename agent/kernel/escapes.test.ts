import { expect, it } from 'vitest';
import { doorOfFile, doorOfSocket } from './escapes.js';

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
])('the socket %s: %s', (path, door) => expect(doorOfSocket(path)).toBe(door));

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
])('the file %s: %s', (path, door) => expect(doorOfFile(path)).toBe(door));
