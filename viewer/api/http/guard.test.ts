import rateLimit from '@fastify/rate-limit';
import fastify from 'fastify';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { checkHost, checkOrigin, limited, ownHosts, sourceAddress } from './guard.js';
import type { Limits } from './guard.js';

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

describe('limits', () => {
  afterEach(() => void vi.useRealTimers());

  interface Asking {
    readonly from: string;
    readonly forwarded?: string;
    readonly path?: string;
  }
  async function limitedServer(limits: Limits, proxies: readonly string[] = []) {
    vi.useFakeTimers({ toFake: ['Date'] });
    const app = fastify({ trustProxy: [...proxies] });
    await app.register(rateLimit, { global: false });
    const onRequest = limited(app, limits);
    app.setErrorHandler((error, _, reply) => reply.code(error instanceof StenoError ? error.entry.status : 500).send());
    for (const path of ['/', '/beside']) app.get(path, { onRequest }, (request) => sourceAddress(request));
    const ask = async ({ from, forwarded, path = '/' }: Asking) => {
      const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
      const { statusCode, headers: answered } = await app.inject({ url: path, remoteAddress: from, headers });
      return statusCode === 429 ? `after ${String(answered['retry-after'])} s` : statusCode;
    };
    return { app, ask };
  }
  const each = async (ask: (asking: Asking) => Promise<unknown>, askings: readonly Asking[]): Promise<unknown[]> => {
    const answers = [];
    for (const asking of askings) answers.push(await ask(asking));
    return answers;
  };

  test('count an address in a minute, over every route that shares them', async () => {
    const { ask } = await limitedServer({ address: 2 });
    const a = { from: '192.0.2.1' };
    expect(await each(ask, [a, { ...a, path: '/beside' }, a, { from: '192.0.2.2' }])).toEqual([200, 200, 'after 60 s', 200]);
    vi.setSystemTime(Date.now() + 59_999);
    expect(await ask(a)).toBe('after 1 s');
    vi.setSystemTime(Date.now() + 1);
    expect(await each(ask, [a, a, a])).toEqual([200, 200, 'after 60 s']);
  });

  test('take the addresses of one /64, and an IPv4 address written as IPv6, for one', async () => {
    const { ask } = await limitedServer({ address: 1 });
    expect(await each(ask, [{ from: '2001:db8:1:2::1' }, { from: '2001:db8:1:2:ffff::9' }, { from: '2001:db8:1:3::1' }])).toEqual([
      200,
      'after 60 s',
      200,
    ]);
    expect(await each(ask, [{ from: '::ffff:192.0.2.1' }, { from: '192.0.2.1' }])).toEqual([200, 'after 60 s']);
  });

  test('count everybody together, and who is over their own limit only there', async () => {
    const { ask } = await limitedServer({ address: 1, all: 2 });
    const [a, b, c] = [{ from: '192.0.2.1' }, { from: '192.0.2.2' }, { from: '192.0.2.3' }] as const;
    expect(await each(ask, [a, a, a, b, c])).toEqual([200, 'after 60 s', 'after 60 s', 200, 'after 60 s']);
  });

  test('count who stands before a proxy of ours, and nobody whom others name', async () => {
    const { app, ask } = await limitedServer({ address: 1 }, ['10.0.0.1', '10.0.0.2']);
    const via = (forwarded: string): Asking => ({ from: '10.0.0.1', forwarded });
    expect(await each(ask, [via('192.0.2.1'), via('192.0.2.2'), via('198.51.100.7, 192.0.2.1')])).toEqual([200, 200, 'after 60 s']);
    // A second trusted proxy on the way.
    expect(await ask(via('192.0.2.1, 10.0.0.2'))).toBe('after 60 s');
    // A stranger that claims to be a proxy is counted under its own address.
    expect(
      await each(ask, [
        { from: '192.0.2.9', forwarded: '192.0.2.10' },
        { from: '192.0.2.9', forwarded: '192.0.2.11' },
      ]),
    ).toEqual([200, 'after 60 s']);
    const seen = async (from: string, forwarded: string): Promise<string> =>
      (await app.inject({ url: '/', remoteAddress: from, headers: { 'x-forwarded-for': forwarded } })).body;
    expect(await seen('::ffff:10.0.0.1', '192.0.2.20')).toBe('192.0.2.20');
    expect(await seen('10.0.0.2', 'unknown')).toBe('10.0.0.2');
  });
});
