import { expect, it } from 'vitest';
import { isReading, matterOf } from './matters.js';

it.each([
  ['/etc/shadow', 'credentials'],
  ['/etc/shadow-', 'credentials'],
  ['/home/ana/.aws/credentials', 'credentials'],
  ['/root/.kube/config', 'credentials'],
  ['/proc/1/environ', 'credentials'],
  ['/root/.ssh/id_ed25519', 'keys'],
  ['/root/.ssh/id_ed25519.pub', null],
  ['/etc/ssh/ssh_host_rsa_key', 'keys'],
  ['/srv/tls/site.key', 'keys'],
  ['/run/secrets/db', 'secrets'],
  ['/var/run/secrets/kubernetes.io/serviceaccount/token', 'secrets'],
  ['/var/lib/kubelet/pods/1/volumes/kubernetes.io~secret/db/password', 'secrets'],
  ['/etc/sudoers', 'configuration'],
  ['/etc/sudoers.d/ops', 'configuration'],
  ['/etc/passwd', null],
  ['/etc/hostname', null],
  ['/usr/lib/x.so', null],
  ['/etc/shadow.d/x', null],
])('%s: %s', (path, kind) => expect(matterOf(path)).toBe(kind));

it.each([
  ['read', true],
  ['read,directory', true],
  ['path', true],
  ['read,as asked', true],
  ['read,directory,in a detached mount', true],
  ['read,write', false],
  ['read,create', false],
  ['read,temporary', false],
  ['write', false],
  ['read,truncate,as asked', false],
  ['read,append', false],
])('an open for "%s" only reads: %s', (reason, plain) => expect(isReading(reason)).toBe(plain));
