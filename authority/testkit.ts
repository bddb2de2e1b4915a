/** What the tests of this folder share: an authority on a temporary folder, and clients that speak to it for real. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { LoginResult } from '#schemas/api.js';
import { parseAuthorizedLine, formatPublicLine } from '#schemas/ssh/public-key.js';
import { connectAuthority } from '#runtime/authority-client.js';
import type { AuthorityClient } from '#runtime/authority-client.js';
import { callAuthority } from '#runtime/authority-http.js';
import type { AuthorityCall } from '#runtime/authority-http.js';
import type { Log } from '#runtime/log.js';
import { signRequest } from '#runtime/request-auth.js';
import { openServiceIdentity } from '#runtime/service-identity.js';
import type { IdentityConfig, ServiceIdentity } from '#runtime/service-identity.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { startAuthority } from './authority.js';
import type { AuthorityConfig, RunningAuthority } from './authority.js';

export const silent: Log = pino({ level: 'silent' });

/** Undoes, in reverse order, whatever a test opened. */
export class Cleanup {
  readonly #steps: (() => Promise<void> | void)[] = [];

  add(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

export function temporaryFolder(cleanup: Cleanup): string {
  const dir = mkdtempSync(join(tmpdir(), 'steno-authority-'));
  cleanup.add(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export async function authorityIn(dataDir: string, cleanup: Cleanup, more: Partial<AuthorityConfig> = {}, clock: () => number = Date.now): Promise<RunningAuthority> {
  const running = await startAuthority({ dataDir, listen: '127.0.0.1:0', name: 'main', ...more }, { log: silent, clock });
  cleanup.add(() => running.close());
  return running;
}

export async function identityOf(authority: RunningAuthority, config: Omit<IdentityConfig, 'socket'>, cleanup: Cleanup): Promise<ServiceIdentity> {
  const identity = await openServiceIdentity({ ...config, socket: authority.addresses.socket }, { log: silent, clock: Date.now });
  cleanup.add(() => identity.close());
  return identity;
}

export async function clientOf(authority: RunningAuthority, config: Omit<IdentityConfig, 'socket'>, cleanup: Cleanup): Promise<AuthorityClient & { readonly identity: ServiceIdentity }> {
  const identity = await identityOf(authority, config, cleanup);
  const client = connectAuthority({ url: authority.addresses.tls, identity }, { log: silent });
  cleanup.add(() => client.close());
  await client.ready();
  return { ...client, identity };
}

export function onSocket(authority: RunningAuthority, call: AuthorityCall): Promise<unknown> {
  return callAuthority({ kind: 'socket', path: authority.addresses.socket }, call);
}

export interface Administrator {
  readonly key: SshPrivateKey;
  readonly login: LoginResult;
  readonly certificate: Uint8Array;
  /** A signed request, without a client certificate. */
  call(method: AuthorityCall['method'], target: string, body?: unknown): Promise<unknown>;
}

export async function administrator(authority: RunningAuthority, cleanup: Cleanup): Promise<Administrator> {
  const key = generateKey();
  const tlsKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const login = (await onSocket(authority, { method: 'POST', target: '/v1/login', body: { public_key: formatPublicLine(key.publicBlob), tls_key: tlsKey } })) as LoginResult;
  const certificate = parseAuthorizedLine(login.certificate).blob;
  const agent = new Agent({ ca: login.service_ca_pem, checkServerIdentity: () => undefined, keepAlive: true });
  cleanup.add(() => agent.destroy());
  return {
    key,
    login,
    certificate,
    call: (method, target, body) =>
      callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, {
        method, target, ...(body === undefined ? {} : { body }),
        headers: { authorization: signRequest(key, certificate, method, target, body === undefined ? undefined : Buffer.from(JSON.stringify(body))) },
      }),
  };
}
