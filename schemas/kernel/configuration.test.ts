import { expect, test } from 'vitest';
import { configurationOf } from './configuration.js';

test.each([
  ['/etc/systemd/system/x.service', 'unit'],
  ['/usr/lib/systemd/system/multi-user.target.wants/x.service', 'unit'],
  ['/home/ann/.config/systemd/user/x.timer', 'unit'],
  ['/etc/init.d/x', 'unit'],
  ['/etc/crontab', 'cron'],
  ['/etc/cron.d/x', 'cron'],
  ['/var/spool/cron/crontabs/root', 'cron'],
  ['/etc/sudoers', 'sudoers'],
  ['/etc/sudoers.d/ops', 'sudoers'],
  ['/root/.ssh/authorized_keys', 'keys'],
  ['/home/ann/.ssh/authorized_keys2', 'keys'],
  ['/etc/pam.d/sshd', 'pam'],
  ['/etc/security/access.conf', 'pam'],
  ['/etc/ld.so.preload', 'preload'],
  ['/etc/ssh/sshd_config', 'sshd'],
  ['/etc/ssh/sshd_config.d/10-x.conf', 'sshd'],
])('%s is %s', (path, kind) => {
  expect(configurationOf(path)).toBe(kind);
});

test.each([
  '/etc/hostname',
  '/etc/sudoers.d',
  '/srv/etc/sudoers',
  '/etc/ssh/ssh_config',
  '/home/ann/.ssh/known_hosts',
  '/etc/sudoers.tmp',
  '/etc/sudoers.d/.ops.swp',
  '/etc/pam.d/sshd.dpkg-new',
  '/etc/pam.d/sedAb12Cd',
  '/etc/systemd/system/x.service~',
  '/var/spool/cron/crontabs/tmp.Ab12Cd',
  '…/etc/sudoers',
])('%s is not a configuration file', (path) => {
  expect(configurationOf(path)).toBeNull();
});
