import { expect, test } from 'vitest';
import { parseEndpoint } from './endpoint.js';
import { Limiter, checkHost, checkOrigin, ownHosts } from './guard.js';

test.each([
  ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  ['steno.example:8090', { host: 'steno.example', port: 8090 }],
] as const)('%s is an endpoint', (text, expected) => expect(parseEndpoint(text)).toEqual(expected));

test.each(['', '80', ':80', 'a:b', 'a:99999', '::1:80', 'a b:1', '[x]:1'])('%s is none', (text) =>
  expect(() => parseEndpoint(text)).toThrow(),
);

test('on a loopback address its usual names are ours, on another only itself and what is configured', () => {
  expect([...ownHosts('127.0.0.1', 8090, [])].sort()).toEqual(['127.0.0.1:8090', '[::1]:8090', 'localhost:8090']);
  expect([...ownHosts('192.0.2.1', 443, ['Steno.Example'])]).toEqual(['192.0.2.1:443', 'steno.example']);
});

test('host names count without regard to case', () => {
  checkHost(ownHosts('localhost', 1, []), 'LocalHost:1');
  expect(() => checkHost(ownHosts('localhost', 1, []), undefined)).toThrow();
});

test.each([
  ['a:1', 'http://a:1', true],
  ['a:1', 'https://a:1', true],
  ['a:1', 'http://a', false],
  ['a:1', 'http://a:1.evil', false],
  ['a:1', undefined, false],
  [undefined, 'http://a:1', false],
] as const)('host %s and origin %s', (host, origin, good) => {
  if (good) checkOrigin(host, origin);
  else expect(() => checkOrigin(host, origin)).toThrow(/another site/);
});

test('a limiter counts per key and window, and keeps a bounded number of keys', () => {
  const limiter = new Limiter(2, 1000, 2);
  limiter.take('a', 0);
  limiter.take('a', 1);
  expect(() => limiter.take('a', 2)).toThrow();
  limiter.take('a', 1000);
  limiter.take('b', 1001);
  limiter.take('c', 1002);
  limiter.take('a', 1003);
  limiter.take('a', 1004);
  expect(() => limiter.take('a', 1005)).toThrow();
});
