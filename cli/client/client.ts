/**
 * HTTP from the command: signed requests to the viewer and the authority, and the owner's Unix socket.
 *
 * Every request is signed with the user's key and certificate (schemas/request.ts): nothing is stored between calls.
 * The authority's TLS certificate must come from the service CA in the profile and name an authority; host names do not
 * matter. Answers are bounded. Tested through the verbs in test/.
 */
import { request as httpRequest } from 'node:http';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { PeerCertificate } from 'node:tls';
import { StenoError, isErrorCode } from '#schemas/base/errors.js';
import type { ApiError, Method, Send } from '#schemas/endpoint/endpoint.js';
import { parseServiceName } from '#schemas/base/identity.js';
import { callAuthority, sendTo } from '#runtime/service/authority-http.js';
import { signRequest } from '#runtime/http/request-auth.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { readProfile } from './home.js';
import type { Home, Profile } from './home.js';

const MAX_ANSWER_BYTES = 64 << 20;
const TIMEOUT_MS = 60_000;

export interface Client {
  readonly profile: Profile;
  /** Viewers take signed requests without a body. */
  readonly viewer: Send;
  /** The body as it comes, for exports and hunts. To cancel, destroy it. */
  stream(path: string, body?: unknown): Promise<Readable>;
  readonly authority: Send;
  /** Where a WebSocket of the viewer is opened, and with which headers and CA. The signature counts for a moment. */
  socket(target: string): SocketAddress;
}

export interface SocketAddress {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** PEM; left out: the system's CAs. */
  readonly ca?: string;
}

export function openClient(home: Home, now: () => number = Date.now): Client {
  const profile = readProfile(home);
  if (profile.valid_before <= now()) throw new StenoError('CERT_EXPIRED', `at ${new Date(profile.valid_before).toLocaleString()}`);
  const key = loadPrivateKey(readFileSync(home.key, 'utf8'));
  const certificate = parseAuthorizedLine(readFileSync(home.certificate, 'utf8')).blob;
  const signed = (method: string, path: string, body: string): string =>
    signRequest(key, certificate, method, path, Buffer.from(body), now());
  // The service CA issues for Steno's services only: what counts is which service this is, not which host.
  const agent = new Agent({
    ca: profile.service_ca,
    checkServerIdentity: (_host: string, { subject }: PeerCertificate) =>
      typeof subject.CN === 'string' && parseServiceName(subject.CN)?.kind === 'authority' ? undefined : new Error('not an authority'),
  });
  return {
    profile,
    viewer: async (method, target) => parse(await collect(await viewer(profile, method, target, signed(method, target, '')))),
    stream(target, body) {
      const method = body === undefined ? 'GET' : 'POST';
      const text = body === undefined ? '' : JSON.stringify(body);
      return viewer(profile, method, target, signed(method, target, text), text);
    },
    socket(target) {
      const url = new URL(target, profile.web);
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      const headers = { authorization: signed('GET', target, ''), origin: new URL(profile.web).origin };
      return { url, headers, ...(profile.web_ca === undefined ? {} : { ca: profile.web_ca }) };
    },
    async authority(method, target, body) {
      const authorization = signed(method, target, body === undefined ? '' : JSON.stringify(body));
      return callAuthority(
        { kind: 'tls', url: profile.authority, agent },
        { method, target, headers: { authorization }, timeoutMs: TIMEOUT_MS, ...(body === undefined ? {} : { body }) },
      );
    },
  };
}

/** Calls to the authority over the owner's socket, which need no certificate. They reject with NOT_RUNNING if no process listens. */
export function overSocket(path: string): Send {
  return sendTo({ kind: 'socket', path }, { timeoutMs: TIMEOUT_MS });
}

/** The viewer before anybody has logged in. */
export interface PublicWeb {
  readonly url: string;
  readonly ca: string | undefined;
  readonly send: Send;
}

/**
 * `address`: `https://…`, trusted by the system's CAs or those of `ca`; without TLS only this machine: what is asked and
 * answered on the way in must not be read or changed by anybody. Throws USAGE.
 */
export function openPublicWeb(address: string, ca?: string): PublicWeb {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw new StenoError('USAGE', `"${address}" is not https://HOST`);
  const name = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol === 'http:' && !/^(localhost|127(\.\d{1,3}){3}|::1)$/.test(name))
    throw new StenoError('USAGE', `${url.origin} is not encrypted; only a viewer on this machine may be reached without TLS`);
  return {
    url: url.origin,
    ca,
    async send(method, path, body) {
      const content = Buffer.from(JSON.stringify(body ?? {}));
      const options: RequestOptions & { ca?: string } = {
        host: name,
        port: url.port,
        path,
        method,
        ...(ca === undefined ? {} : { ca }),
        headers: { 'content-type': 'application/json', 'content-length': content.length, origin: url.origin },
      };
      return parse(
        await collect(await succeeded(await send(url.protocol === 'https:' ? httpsRequest : httpRequest, options, url.origin, content))),
      );
    },
  };
}

async function viewer(profile: Profile, method: Method, path: string, authorization: string, body = ''): Promise<Readable> {
  const url = new URL(path, profile.web);
  const options: RequestOptions & { ca?: string } = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port,
    path,
    method,
    headers: {
      authorization,
      ...(body === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), origin: url.origin }),
    },
    ...(profile.web_ca === undefined ? {} : { ca: profile.web_ca }),
  };
  return succeeded(
    await send(url.protocol === 'https:' ? httpsRequest : httpRequest, options, profile.web, body === '' ? undefined : Buffer.from(body)),
  );
}

function send(
  make: typeof httpRequest | typeof httpsRequest,
  options: RequestOptions,
  where: string,
  body?: Buffer,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = make({ ...options, timeout: TIMEOUT_MS }, resolve);
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', (error: NodeJS.ErrnoException) => {
      const away = error.code === 'ECONNREFUSED' || error.code === 'ENOENT';
      reject(new StenoError('NOT_RUNNING', away ? `nothing answers at ${where}` : `${where}: ${error.message}`, { cause: error }));
    });
    request.end(body);
  });
}

async function succeeded(answer: IncomingMessage): Promise<IncomingMessage> {
  const status = answer.statusCode ?? 0;
  if (status >= 200 && status < 300) return answer;
  let error: Partial<ApiError['error']> | undefined;
  try {
    error = (JSON.parse((await collect(answer)).toString('utf8')) as Partial<ApiError>).error;
  } catch {
    // Not an answer of Steno: the status has to do.
  }
  if (error?.code !== undefined && isErrorCode(error.code)) throw new StenoError(error.code, error.detail);
  throw new StenoError('INTERNAL', `HTTP status ${status}`);
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) throw new StenoError('TOO_LARGE', 'the answer');
      chunks.push(chunk);
    }
  } catch (cause) {
    throw cause instanceof StenoError ? cause : new StenoError('NOT_RUNNING', 'the answer was cut off', { cause });
  }
  return Buffer.concat(chunks);
}

function parse<T>(body: Buffer): T {
  return (body.length === 0 ? undefined : JSON.parse(body.toString('utf8'))) as T;
}
