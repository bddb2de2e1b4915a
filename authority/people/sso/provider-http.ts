/**
 * HTTP to identity providers: only the configured provider is contacted, and no internal address it points to.
 *
 * - https only; http where the connector's own issuer is http on a loopback address.
 * - Redirects are not followed.
 * - Hosts other than the issuer's must have only public addresses, resolved for this very connection: a provider cannot
 *   make the authority contact internal hosts (SSRF), neither by name nor by DNS rebinding.
 * - Five seconds and 512 KiB for a whole answer.
 *
 * Throws SSO_PROVIDER. Tested in oidc-hostile.test.ts.
 */
import { lookup as dnsLookup } from 'node:dns';
import type { LookupAddress, LookupOptions } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { CustomFetch } from 'openid-client';
import { isLoopbackHost, isSurelyLoopback } from '#schemas/base/host-name.js';
import { StenoError } from '#schemas/base/errors.js';

const TIMEOUT_MS = 5_000;
const MAX_ANSWER = 512 * 1024;

/** Addresses not reachable over the public internet: RFC 6890 and related. */
const inner = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  inner.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of [
  ['::', 127],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  inner.addSubnet(network, bits, 'ipv6');
}

export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  // An IPv4-mapped IPv6 address is judged as the IPv4 address.
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1];
  if (mapped !== undefined) return isPublicAddress(mapped);
  return family !== 0 && !/^::ffff:/i.test(address) && !inner.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

export function providerFetch(issuer: URL, tlsCa: string | undefined): CustomFetch {
  return async (url, { method, headers, body }) => {
    const target = new URL(url);
    checkTarget(issuer, target);
    if (body !== undefined && body !== null && typeof body !== 'string' && !(body instanceof URLSearchParams))
      throw new StenoError('INTERNAL', 'a body of an unknown kind');
    const bytes = body === undefined || body === null ? undefined : Buffer.from(body.toString());
    const options = {
      method,
      headers: { ...headers, 'accept-encoding': 'identity', ...(bytes === undefined ? {} : { 'content-length': String(bytes.length) }) },
      agent: false as const,
      ...(target.hostname === issuer.hostname ? {} : { lookup: publicLookup }),
      ...(tlsCa === undefined ? {} : { ca: tlsCa }),
    };
    return new Promise<Response>((resolve, reject) => {
      const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(target, options, (response) => {
        read(response)
          .then(resolve, reject)
          .finally(() => request.destroy());
      });
      const timer = setTimeout(() => request.destroy(new Error('no whole answer in five seconds')), TIMEOUT_MS);
      request.on('error', (cause) =>
        reject(
          cause instanceof StenoError ? cause : new StenoError('SSO_PROVIDER', `${target.host}: ${cause.message.slice(0, 200)}`, { cause }),
        ),
      );
      request.on('close', () => clearTimeout(timer));
      request.end(bytes);
    });
  };
}

/** Also checks the endpoints to which browsers are sent. */
export function checkTarget(issuer: URL, target: URL): void {
  const refuse = (why: string): never => {
    throw new StenoError('SSO_PROVIDER', `${target.host}: ${why}`);
  };
  const onLoopback = issuer.protocol === 'http:' && isSurelyLoopback(issuer.hostname);
  if (target.protocol !== 'https:' && !(onLoopback && target.protocol === 'http:' && isSurelyLoopback(target.hostname)))
    refuse('is not https');
  if (target.username !== '' || target.password !== '') refuse('has credentials in its URL');
  if (target.hostname === issuer.hostname) return;
  const address = target.hostname.replace(/^\[|\]$/g, '');
  if (isIP(address) !== 0 && !isPublicAddress(address)) refuse('is an internal address that is not the issuer');
  if (isLoopbackHost(target.hostname)) refuse('is an internal address that is not the issuer');
}

function publicLookup(
  host: string,
  options: LookupOptions,
  callback: (error: Error | null, address: string | LookupAddress[], family?: number) => void,
): void {
  dnsLookup(host, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, []);
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address))) {
      return callback(new StenoError('SSO_PROVIDER', `${host}: has an internal address and is not the issuer`), []);
    }
    if (options.all === true) return callback(null, addresses);
    callback(null, addresses[0]!.address, addresses[0]!.family);
  });
}

async function read(response: IncomingMessage): Promise<Response> {
  const status = response.statusCode ?? 0;
  if (status >= 300 && status < 400) throw new StenoError('SSO_PROVIDER', 'it redirects, which is not followed');
  if ((response.headers['content-encoding'] ?? 'identity') !== 'identity')
    throw new StenoError('SSO_PROVIDER', 'it answers in an encoding that was not asked for');
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER) throw new StenoError('SSO_PROVIDER', `its answer has over ${MAX_ANSWER} bytes`);
    chunks.push(chunk);
  }
  const headers = new Headers();
  for (const [name, value] of Object.entries(response.headers)) if (typeof value === 'string') headers.set(name, value);
  return new Response(status === 204 || status === 205 ? null : Buffer.concat(chunks), { status: status < 200 ? 502 : status, headers });
}
