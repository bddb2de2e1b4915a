/** Stores a login in `$STENO_HOME`, for every way of signing in. Tested in test/end-to-end/users.test.ts. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createSignInLink } from '#schemas/api/people/web-sessions.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { LoginResult } from '#schemas/api/people/user-certificates.js';
import type { PublicAddresses } from '#schemas/api/front/sign-in.js';
import { generateKey, loadPrivateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { overSocket } from './client.js';
import { createHome, knownHosts, sshConfig, writeWhole } from './home.js';
import type { Home, Profile } from './home.js';
import { trustOf, writeTlsCertificate } from './trust.js';

/** The key stays from login to login, so that a certificate in an agent keeps its key. */
export function keyOf(home: Home): SshPrivateKey {
  createHome(home);
  if (existsSync(home.key)) return loadPrivateKey(readFileSync(home.key, 'utf8'));
  const key = generateKey(home.key.endsWith('id_ecdsa') ? 'p256' : undefined);
  writeWhole(home.key, key.toOpenSsh('steno'), 0o600);
  return key;
}

/** `webCa`: PEM of the viewer's CA, if it is not one of the system's. */
export function keepLogin(home: Home, login: LoginResult, { ssh, web, authority }: PublicAddresses, webCa?: string): Profile {
  const profile: Profile = {
    version: 1,
    user: login.user,
    roles: [...login.roles],
    logins: [...login.logins],
    ssh,
    web,
    authority,
    ...(webCa === undefined ? {} : { web_ca: webCa }),
    ...trustOf(login),
    valid_before: login.valid_before,
  };
  // The profile goes last: a login that is cut short leaves the old one, whose certificate still matches the key.
  writeWhole(home.certificate, `${login.certificate.trim()}\n`, 0o644);
  writeTlsCertificate(home, login.x509_certificate);
  writeWhole(home.knownHosts, knownHosts(profile), 0o644);
  writeWhole(home.sshConfig, sshConfig(home, profile), 0o644);
  writeWhole(home.profile, `${JSON.stringify(profile, null, 2)}\n`, 0o600);
  return profile;
}

export function loadAgent(home: Home, profile: Profile): boolean {
  if (process.env['SSH_AUTH_SOCK'] === undefined) return false;
  const seconds = Math.max(1, Math.floor((profile.valid_before - Date.now()) / 1000));
  return spawnSync('ssh-add', ['-q', '-t', String(seconds), home.key], { stdio: 'ignore', timeout: 5_000 }).status === 0;
}

export async function signInLink(socket: string, web: string): Promise<string> {
  const { url_token } = await call(overSocket(socket), createSignInLink, {});
  // In the fragment, which browsers do not send: the token appears in no log and no referrer.
  return `${web}/#sign-in=${url_token}`;
}
