/** Passkeys in this browser: whether there are any, and the two ceremonies, with failures in words for people. */
import { browserSupportsWebAuthn, startAuthentication, startRegistration } from '@simplewebauthn/browser';
import type { PublicKeyCredentialCreationOptionsJSON, PublicKeyCredentialRequestOptionsJSON } from '@simplewebauthn/browser';
import { ApiFailure, post } from '../parts/api.js';

/** `origin`: where the passkeys of this Steno belong. */
export function passkeysWorkHere(origin: string): boolean {
  return browserSupportsWebAuthn() && location.origin === origin;
}

/** What `startAuthentication` answers to a challenge of the authority. */
export async function provePasskey(): Promise<unknown> {
  const optionsJSON = await post<PublicKeyCredentialRequestOptionsJSON>('/api/login/passkey-options', {});
  return startAuthentication({ optionsJSON }).catch(explain);
}

/** `begin`: the call that gives the options; `body` as it wants it. */
export async function makePasskey(begin: string, body: unknown): Promise<unknown> {
  const optionsJSON = await post<PublicKeyCredentialCreationOptionsJSON>(begin, body);
  return startRegistration({ optionsJSON }).catch(explain);
}

function explain(error: unknown): never {
  const { name } = error as Error;
  if (name === 'InvalidStateError')
    throw new ApiFailure('PASSKEY_REFUSED', 'this device has a passkey of yours already', 'Use it, or choose another device.');
  if (name === 'NotAllowedError' || name === 'AbortError')
    throw new ApiFailure('PASSKEY_REFUSED', 'the passkey was not used', 'Try again, and confirm on your device in time.');
  throw new ApiFailure('PASSKEY_REFUSED', 'the browser could not use a passkey', 'Try another browser or device.');
}
