import { expect, test } from 'vitest';
import { kubeClusterName, kubeUpstream } from './kube-cluster.js';

const token = { kind: 'token', token: 'abc.DEF-1_2~+/=' };
const pem = (what: string): string => `-----BEGIN ${what}-----\nMIIB\n-----END ${what}-----\n`;

test.each(['a', 'prod-1', 'a'.repeat(63)])('%s is a name', (name) => expect(kubeClusterName.safeParse(name).success).toBe(true));
test.each(['', 'Prod', '-a', 'a-', 'a.b', 'a/b', 'a_b', 'a'.repeat(64)])('"%s" is not a name', (name) =>
  expect(kubeClusterName.safeParse(name).success).toBe(false),
);

test.each<[string, object, boolean]>([
  ['a host', { url: 'https://api.example', credential: token }, true],
  ['a port, a path and a slash', { url: 'https://10.0.0.1:6443/k8s/clusters/c-1/', credential: token }, true],
  ['an IPv6 address', { url: 'https://[::1]:6443', credential: token }, true],
  [
    'a certificate with its key',
    { url: 'https://a', credential: { kind: 'certificate', certificate: pem('CERTIFICATE'), key: pem('RSA PRIVATE KEY') } },
    true,
  ],
  ['two CAs', { url: 'https://a', ca: `${pem('CERTIFICATE')}${pem('CERTIFICATE')}`, credential: token }, true],
  ['a key where a certificate belongs', { url: 'https://a', ca: pem('PRIVATE KEY'), credential: token }, false],
  ['http', { url: 'http://a', credential: token }, false],
  ['a user in the address', { url: 'https://u@a', credential: token }, false],
  ['a query', { url: 'https://a/?x=1', credential: token }, false],
  ['a dot segment', { url: 'https://a//b', credential: token }, false],
  ['a token with a space', { url: 'https://a', credential: { kind: 'token', token: 'a b' } }, false],
  ['no credential', { url: 'https://a' }, false],
])('an upstream with %s', (_what, value, good) => expect(kubeUpstream.safeParse(value).success).toBe(good));
