/** Support shared by the tests of this folder: an authority in a temporary folder, and clients that speak to it for real. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { LoginResult } from '#schemas/api/people/user-certificates.js';
import { OPTION_GATEWAY_ONLY, identityExtensions } from '#schemas/base/identity.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { parseAuthorizedLine, formatPublicLine } from '#schemas/ssh/public-key.js';
import { connectAuthority } from '#runtime/service/authority-client.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import type { AuthorityCall } from '#runtime/service/authority-http.js';
import type { Log } from '#runtime/log.js';
import { signRequest } from '#runtime/http/request-auth.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import type { IdentityConfig, ServiceIdentity } from '#runtime/service/identity.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { openState } from '#stores/state/open.js';
import { startAuthority } from '../app.js';
import type { AuthorityConfig, AuthorityContext, RunningAuthority } from '../app.js';
import { LiveCa } from '../ca/ca.js';
import type { Ca } from '../ca/ca.js';
import { caState } from '../ca/ca-records.js';
import { keyPlaces, sealedPlace } from '../ca/places.js';
import { SealStore } from '../ca/seal-store.js';
import { Records } from '../records/records.js';

export const silent: Log = pino({ level: 'silent' });

/** Undoes everything a test opened, in reverse order. */
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

export async function authorityIn(
  dataDir: string,
  cleanup: Cleanup,
  more: Partial<AuthorityConfig> = {},
  clock: () => number = Date.now,
  context: Partial<AuthorityContext> = {},
): Promise<RunningAuthority> {
  const running = await startAuthority(
    { dataDir, listen: '127.0.0.1:0', name: 'main', ...more },
    { log: silent, clock, checkAnswers: true, ...context },
  );
  cleanup.add(() => running.close());
  return running;
}

export async function identityOf(
  authority: RunningAuthority,
  config: Omit<IdentityConfig, 'socket'>,
  cleanup: Cleanup,
): Promise<ServiceIdentity> {
  const identity = await openServiceIdentity({ ...config, socket: authority.addresses.socket }, { log: silent, clock: Date.now });
  cleanup.add(() => identity.close());
  return identity;
}

export async function clientOf(
  authority: RunningAuthority,
  config: Omit<IdentityConfig, 'socket'>,
  cleanup: Cleanup,
): Promise<AuthorityClient & { readonly identity: ServiceIdentity }> {
  const identity = await identityOf(authority, config, cleanup);
  const client = connectAuthority({ url: authority.addresses.tls, identity }, { log: silent });
  cleanup.add(() => client.close());
  await client.ready();
  return { ...client, identity };
}

export function onSocket(authority: RunningAuthority, call: AuthorityCall): Promise<unknown> {
  return callAuthority({ kind: 'socket', path: authority.addresses.socket }, call);
}

export type ViewerCall = (
  method: AuthorityCall['method'],
  target: string,
  body?: object,
  headers?: Readonly<Record<string, string>>,
) => Promise<unknown>;

/** Calls the authority with the certificate of a viewer, as the web page's server does. */
export async function viewerOf(authority: RunningAuthority, cleanup: Cleanup): Promise<ViewerCall> {
  const viewer = await identityOf(authority, { kind: 'viewer', name: 'web' }, cleanup);
  const agent = new Agent(viewer.tlsClientOptions(['authority']));
  cleanup.add(() => agent.destroy());
  return (method, target, body, headers = {}) =>
    callAuthority(
      { kind: 'tls', url: authority.addresses.tls, agent },
      { method, target, ...(body === undefined ? {} : { body }), headers },
    );
}

/** Signs `who` in on the web page that `asViewer` serves, and calls as that browser. */
export async function inBrowser(asViewer: ViewerCall, who: Signer): Promise<(target: string, body: object) => Promise<unknown>> {
  const { url_token: token } = (await who.call('POST', '/v1/sign-in-link', {})) as { url_token: string };
  const { token: web } = (await asViewer('POST', '/v1/sign-in', { token })) as { token: string };
  return (target, body) => asViewer('POST', target, body, { 'x-steno-web-session': web, 'x-steno-client': '192.0.2.1' });
}

/** Somebody with a certificate. */
export interface Signer {
  readonly key: SshPrivateKey;
  readonly certificate: Uint8Array;
  /** A signed request, without a client certificate. */
  call(method: AuthorityCall['method'], target: string, body?: unknown): Promise<unknown>;
}

export interface Administrator extends Signer {
  readonly login: LoginResult;
}

export async function administrator(authority: RunningAuthority, cleanup: Cleanup, clock: () => number = Date.now): Promise<Administrator> {
  const key = generateKey();
  const tlsKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const login = (await onSocket(authority, {
    method: 'POST',
    target: '/v1/login',
    body: { public_key: formatPublicLine(key.publicBlob), tls_key: tlsKey },
  })) as LoginResult;
  return { ...signer(authority, key, parseAuthorizedLine(login.certificate).blob, login.service_ca_pem, cleanup, clock), login };
}

/** The CAs of a data directory, opened as its authority opens them. */
export async function casIn(dataDir: string): Promise<Ca> {
  const folder = join(dataDir, 'authority');
  const records = new Records(await openState({ kind: 'sqlite', file: join(folder, 'state.sqlite') }));
  try {
    const { sealer } = await SealStore.open(records, { file: join(folder, 'seal.key'), now: 0 });
    return await LiveCa.open(() => records.read(caState), keyPlaces(sealedPlace(sealer)));
  } finally {
    await records.close();
  }
}

/** A user with a certificate as a login would issue it: from the authority's own CA, for an hour. */
export async function person(
  authority: RunningAuthority,
  dataDir: string,
  admin: Administrator,
  name: string,
  roles: readonly string[],
  cleanup: Cleanup,
  more: Partial<UserIdentity> = {},
): Promise<Signer> {
  const key = generateKey();
  const ca = await casIn(dataDir);
  const seconds = BigInt(Math.floor(Date.now() / 1000));
  const certificate = await ca.issueSsh('ssh-user', {
    publicKey: key.publicBlob,
    serial: 1_000_000n,
    kind: 'user',
    keyId: `user=${name}`,
    principals: ['-steno-none'],
    validAfter: seconds - 60n,
    validBefore: seconds + 3600n,
    criticalOptions: new Map([[OPTION_GATEWAY_ONLY, '']]),
    extensions: identityExtensions({ user: name, roles, traits: {}, mfa: null, requests: [], ...more }),
  });
  return signer(authority, key, certificate, admin.login.service_ca_pem, cleanup);
}

export function signer(
  authority: RunningAuthority,
  key: SshPrivateKey,
  certificate: Uint8Array,
  serviceCa: string,
  cleanup: Cleanup,
  clock: () => number = Date.now,
): Signer {
  const agent = new Agent({ ca: serviceCa, checkServerIdentity: () => undefined, keepAlive: true });
  cleanup.add(() => agent.destroy());
  return {
    key,
    certificate,
    call: (method, target, body) =>
      callAuthority(
        { kind: 'tls', url: authority.addresses.tls, agent },
        {
          method,
          target,
          ...(body === undefined ? {} : { body }),
          headers: {
            authorization: signRequest(
              key,
              certificate,
              method,
              target,
              body === undefined ? undefined : Buffer.from(JSON.stringify(body)),
              clock(),
            ),
          },
        },
      ),
  };
}
