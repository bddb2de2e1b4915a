/**
 * Passkeys: discoverable WebAuthn credentials with user verification, so that one alone signs in: possession is one factor,
 * the finger or PIN that unlocks it the other.
 *
 * A challenge is random, bound to one purpose, and valid once within five minutes. Checks (W3C WebAuthn 3, 7.1 and 7.2):
 * origin and site match the web address, the user was verified, the signature was made by the registered key, and the
 * counter has increased if the authenticator has one. A counter that has not increased indicates a cloned authenticator and
 * is refused. Attestation is not requested, since the make of the authenticator does not matter. Tested in users.test.ts
 * and, with Chromium's authenticator, in test/end-to-end/users.test.ts.
 */
import { createHash } from 'node:crypto';
import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/server';
import { StenoError } from '#schemas/base/errors.js';
import type { Device } from '../../records/users.js';

export type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
};

export interface Site {
  /** As browsers send it, such as `https://steno.example.com`. */
  readonly origin: string;
  readonly name: string;
}

/** Loaded at first use: it is an eighth of the authority's code, and everything waits for the authority to start. */
const webauthn = () => import('@simplewebauthn/server');

export const CEREMONY_MS = 5 * 60_000;

export async function registrationOptions(
  site: Site,
  user: { readonly name: string; readonly createdAt: number },
  devices: readonly Device[],
): Promise<PublicKeyCredentialCreationOptionsJSON> {
  return (await webauthn()).generateRegistrationOptions({
    rpName: site.name,
    rpID: siteId(site),
    userName: user.name,
    userDisplayName: user.name,
    // The same for all passkeys of one user, so that an authenticator replaces its passkey rather than adding one.
    userID: new Uint8Array(createHash('sha256').update(`steno-user/1 ${user.name} ${user.createdAt}`).digest()),
    attestationType: 'none',
    timeout: CEREMONY_MS,
    excludeCredentials: devices.flatMap(({ credential_id: id, transports }) =>
      id === null ? [] : [{ id, transports: JSON.parse(transports) as never }],
    ),
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
  });
}

export async function authenticationOptions(site: Site): Promise<PublicKeyCredentialRequestOptionsJSON> {
  // No credential list: it would tell strangers who has which.
  return (await webauthn()).generateAuthenticationOptions({ rpID: siteId(site), userVerification: 'required', timeout: CEREMONY_MS });
}

/** The challenge that an answer was made for; null if it contains none. */
export function challengeOf(response: { readonly response: { readonly clientDataJSON: string } }): string | null {
  try {
    const { challenge } = JSON.parse(Buffer.from(response.response.clientDataJSON, 'base64url').toString('utf8')) as {
      challenge?: unknown;
    };
    return typeof challenge === 'string' && challenge.length <= 128 ? challenge : null;
  } catch {
    return null;
  }
}

/** The device that the answer registers. Throws LOGIN_FAILED. */
export async function verifyRegistration(
  site: Site,
  response: RegistrationResponseJSON,
  challenge: string,
): Promise<Pick<Device, 'credential_id' | 'public_key' | 'counter' | 'transports'>> {
  const { verified, registrationInfo } = await (
    await webauthn()
  )
    .verifyRegistrationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: site.origin,
      expectedRPID: siteId(site),
      requireUserVerification: true,
    })
    .catch((cause: unknown) => {
      throw new StenoError('LOGIN_FAILED', `passkey: ${reason(cause)}`, { cause });
    });
  if (!verified) throw new StenoError('LOGIN_FAILED', 'passkey: not verified');
  const { credential } = registrationInfo;
  const transports = (credential.transports ?? []).filter((transport) => /^[a-z-]{1,20}$/.test(transport)).slice(0, 8);
  return {
    credential_id: credential.id,
    public_key: Buffer.from(credential.publicKey),
    counter: credential.counter,
    transports: JSON.stringify(transports),
  };
}

/** The counter after this use. Throws LOGIN_FAILED. */
export async function verifyAssertion(
  site: Site,
  response: AuthenticationResponseJSON,
  challenge: string,
  device: Device,
): Promise<number> {
  if (device.credential_id === null || device.public_key === null) throw new StenoError('LOGIN_FAILED', 'passkey: no key on record');
  const { verified, authenticationInfo } = await (
    await webauthn()
  )
    .verifyAuthenticationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: site.origin,
      expectedRPID: siteId(site),
      requireUserVerification: true,
      credential: { id: device.credential_id, publicKey: new Uint8Array(device.public_key), counter: device.counter },
    })
    .catch((cause: unknown) => {
      throw new StenoError('LOGIN_FAILED', `passkey: ${reason(cause)}`, { cause });
    });
  if (!verified) throw new StenoError('LOGIN_FAILED', 'passkey: the signature does not match');
  return authenticationInfo.newCounter;
}

function siteId({ origin }: Site): string {
  return new URL(origin).hostname;
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message.slice(0, 200) : 'refused';
}
