import { expect, test } from 'vitest';
import { parseHostPort, requireHostPort } from './host-port.js';

test.each([
  ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  ['[::ffff:192.0.2.1]:65535', { host: '::ffff:192.0.2.1', port: 65_535 }],
  ['steno.example:8090', { host: 'steno.example', port: 8090 }],
  ['my_host:22', { host: 'my_host', port: 22 }],
] as const)('%s names a host and a port', (text, expected) => {
  expect(parseHostPort(text)).toEqual(expected);
  expect(requireHostPort(text)).toEqual(expected);
});

test.each(['', '80', ':80', 'a:', 'a:b', 'a:65536', 'a:123456', '::1:80', '[]:80', '[x]:1', 'a b:1', 'a:1\n', ' a:1', 'a/b:1', 'a@b:1'])(
  '%j does not',
  (text) => {
    expect(parseHostPort(text)).toBeUndefined();
    expect(() => requireHostPort(text)).toThrow(/is not HOST:PORT/);
  },
);
