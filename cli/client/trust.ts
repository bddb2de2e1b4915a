/**
 * The CAs as $STENO_HOME knows them, brought up to date between logins: while a CA is rotated, clients must know the new
 * key before servers show certificates of it. Every login writes them; `steno ssh` and `steno ca` look again.
 *
 *     tls.key, tls.pem      key and client certificate of the user, for kubectl and browsers, as short-lived as the login
 *
 * Tested in test/end-to-end/rotation.test.ts.
 */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { showTrust } from '#schemas/api/services/ca.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { TrustReport } from '#schemas/api/services/ca.js';
import { generateKeyPem } from '#runtime/ssh/keys.js';
import { openClient } from './client.js';
import { knownHosts, readProfile, sshConfig, writeWhole } from './home.js';
import type { Home, Profile } from './home.js';

/** How long a verb that only wants to be up to date waits for the authority. */
const PATIENCE_MS = 2_000;

/** The parts of a profile that say whom to trust. */
export function trustOf(
  trust: TrustReport,
): Pick<Profile, 'cluster' | 'service_ca' | 'ssh_host_ca' | 'ssh_user_ca' | 'recording_ca' | 'x509_user_ca'> {
  return {
    cluster: trust.cluster,
    service_ca: trust.service_ca_pem,
    x509_user_ca: trust.x509_user_ca_pem,
    ssh_host_ca: [...trust.ssh_host_ca],
    ssh_user_ca: [...trust.ssh_user_ca],
    recording_ca: [...trust.recording_ca],
  };
}

/** Asks the authority and stores changes. Rejects as the call does, or with NOT_SIGNED_IN. */
export async function refreshTrust(home: Home): Promise<Profile> {
  const before = readProfile(home);
  const profile = { ...before, ...trustOf(await call(openClient(home).authority, showTrust, {})) };
  if (JSON.stringify(profile) === JSON.stringify(before)) return before;
  writeWhole(home.knownHosts, knownHosts(profile), 0o644);
  writeWhole(home.sshConfig, sshConfig(home, profile), 0o644);
  writeWhole(home.profile, `${JSON.stringify(profile, null, 2)}\n`, 0o600);
  return profile;
}

/** As `refreshTrust`, for callers that can do without: an unreachable or slow authority changes nothing. */
export async function freshTrust(home: Home): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS);
  });
  await Promise.race([
    refreshTrust(home).then(
      () => undefined,
      () => undefined,
    ),
    patience,
  ]);
  clearTimeout(timer);
}

/** SPKI in PEM of the user's TLS key, which is made once and stays. */
export function tlsPublicKey(home: Home): string {
  const file = join(home.dir, 'tls.key');
  if (!existsSync(file)) writeWhole(file, generateKeyPem('p256'), 0o600);
  return createPublicKey(createPrivateKey(readFileSync(file, 'utf8')))
    .export({ type: 'spki', format: 'pem' })
    .toString();
}

export function writeTlsCertificate(home: Home, pem: string | undefined): void {
  if (pem !== undefined) writeWhole(join(home.dir, 'tls.pem'), pem, 0o644);
}
