/** Passkeys in this browser: whether there are any, and the two ceremonies, with failures as readable messages. */
import { browserSupportsWebAuthn, startAuthentication, startRegistration } from '@simplewebauthn/browser';
import type { PublicKeyCredentialCreationOptionsJSON, PublicKeyCredentialRequestOptionsJSON } from '@simplewebauthn/browser';
import { ApiFailure } from '../parts/api.js';
import { ask } from '../parts/endpoints.js';
import type { Given } from '../parts/endpoints.js';

/** `origin`: the origin for which the passkeys of this Steno are valid. */
export function passkeysWorkHere(origin: string): boolean {
  return browserSupportsWebAuthn() && location.origin === origin;
}

/** The type that the declarations use; the browser's own types are less specific. */
type PasskeyProof = Given<'POST /api/login/passkey'>['body']['response'];
type NewPasskey = Extract<Given<'POST /api/account/devices'>['body']['device'], { readonly kind: 'passkey' }>['response'];

/** The answer of `startAuthentication` to a challenge of the authority. */
export async function provePasskey(): Promise<PasskeyProof> {
  const optionsJSON = (await ask('POST /api/login/passkey-options', {})) as PublicKeyCredentialRequestOptionsJSON;
  return startAuthentication({ optionsJSON }).catch(explain) as Promise<PasskeyProof>;
}

/** `begin`: gets the options, in the form of the browser's own interface. */
export async function makePasskey(begin: () => Promise<unknown>): Promise<NewPasskey> {
  const optionsJSON = (await begin()) as PublicKeyCredentialCreationOptionsJSON;
  return startRegistration({ optionsJSON }).catch(explain) as Promise<unknown> as Promise<NewPasskey>;
}

function explain(error: unknown): never {
  const { name } = error as Error;
  if (name === 'InvalidStateError')
    throw new ApiFailure('PASSKEY_REFUSED', 'this device has a passkey of yours already', 'Use it, or choose another device.');
  if (name === 'NotAllowedError' || name === 'AbortError')
    throw new ApiFailure('PASSKEY_REFUSED', 'the passkey was not used', 'Try again, and confirm on your device in time.');
  throw new ApiFailure('PASSKEY_REFUSED', 'the browser could not use a passkey', 'Try another browser or device.');
}
