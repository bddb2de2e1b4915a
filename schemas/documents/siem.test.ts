import { expect, test } from 'vitest';
import { siemSchema } from './siem.js';

const ocsf = { kind: 'siem', name: 'lake', format: 'ocsf', url: 'https://collector.example/ingest?index=steno' };
const syslog = { kind: 'siem', name: 'central', format: 'syslog', address: 'logs.example:6514' };
const pem = `-----BEGIN CERTIFICATE-----\n${'A'.repeat(64)}\nAA==\n-----END CERTIFICATE-----\n`;

test.each([
  ['OCSF', ocsf],
  ['OCSF with a token and a certificate', { ...ocsf, token: { file: 'lake-token' }, ca: pem, certificate: pem, key: { file: 'lake-key' } }],
  ['OCSF to this machine', { ...ocsf, url: 'http://127.0.0.1:8088/' }],
  ['syslog', syslog],
  ['syslog at an address of IPv6', { ...syslog, address: '[2001:db8::1]:6514' }],
  ['several authorities', { ...syslog, ca: `${pem}\n${pem}` }],
])('a destination with %s is accepted', (_, document) => expect(siemSchema.safeParse(document).error).toBeUndefined());

test('everything is sent from now on, unless the document says otherwise', () => {
  expect(siemSchema.parse(syslog)).toEqual({ ...syslog, send: ['events', 'audit', 'findings'], from: 'now', max_message: 8_192 });
});

test.each([
  ['a secret in the document', { ...ocsf, token: 'open-sesame' }],
  ['a secret of another folder', { ...ocsf, token: { file: '../seal.key' } }],
  ['a variable that is not for secrets', { ...ocsf, token: { env: 'AWS_SECRET_ACCESS_KEY' } }],
  ['a field that only configuration files have', { ...ocsf, token_file: '/etc/shadow' }],
  ['a token for syslog, which has none', { ...syslog, token: { file: 'x' } }],
  ['plain HTTP to another machine', { ...ocsf, url: 'http://collector.example/' }],
  ['a user in the address', { ...ocsf, url: 'https://u:p@collector.example/' }],
  ['a certificate without its key', { ...ocsf, certificate: pem }],
  ['a key without its certificate', { ...ocsf, key: { file: 'k' } }],
  ['a private key as certificate', { ...ocsf, ca: pem.replaceAll('CERTIFICATE', 'PRIVATE KEY') }],
  ['text around certificates', { ...ocsf, ca: `Subject: x\n${pem}` }],
  ['a CA that is not PEM', { ...ocsf, ca: '/etc/ssl/ca.pem' }],
  ['nothing to send', { ...ocsf, send: [] }],
  ['a table listed twice', { ...ocsf, send: ['audit', 'audit'] }],
  ['screens to send', { ...ocsf, send: ['screen'] }],
  ['no port', { ...syslog, address: 'logs.example' }],
  ['port 0', { ...syslog, address: 'logs.example:0' }],
  ['port 65536', { ...syslog, address: 'logs.example:65536' }],
  ['a path after the port', { ...syslog, address: 'logs.example:6514/x' }],
  ['a line break in the address', { ...syslog, address: 'logs\n.example:6514' }],
  ['a name with a path', { ...ocsf, name: '../x' }],
  ['a message size beyond what any receiver accepts', { ...syslog, max_message: 1 << 20 }],
  ['no format', { kind: 'siem', name: 'x' }],
])('a destination with %s is refused', (_, document) => expect(siemSchema.safeParse(document).success).toBe(false));
