/** A user's own account and the invitation to it: passwords, second factors, recovery codes. Viewers relay all of it. */
import { z } from 'zod';
import { endpoint, noAnswer, noBody, noParams, relayedForLogins, relayedSignedIn } from '../../endpoint/endpoint.js';
import { base64url, moment, name, record, texts, token } from '../../endpoint/fields.js';
import { userFields } from './users.js';
import { webIdentity } from './web-sessions.js';

export const MAX_PASSWORD = 256;
export const password = z.string().min(1).max(MAX_PASSWORD);

/** Content of an invitation's page, shown to whoever has the token. */
const invitationFacts = record({
  user: z.string(),
  roles: texts,
  expires_at: moment,
  /** Whether passkeys work at the web address: they need a name, not an IP address, and TLS but on localhost. */
  passkeys: z.boolean(),
});
export type InvitationFacts = z.output<typeof invitationFacts>;

export const totpEnrolment = record({
  /** To send back with the first code. */
  ceremony: z.string(),
  /** `otpauth://`, for the QR code. */
  uri: z.string(),
  /** Base32, to type. */
  secret: z.string(),
});
export type TotpEnrolment = z.output<typeof totpEnrolment>;

/** A user's own account. `fresh`: whether the sign-in is fresh enough to change it. */
const accountInfo = record({ ...userFields, via: z.string(), fresh: z.boolean(), passkeys: z.boolean() });
export type AccountInfo = z.output<typeof accountInfo>;

/** `PublicKeyCredentialCreationOptionsJSON` (WebAuthn 3, 5.1.8), as the authority's library creates it. */
const creationOptions = z.looseObject({ challenge: z.string() });
/** `RegistrationResponseJSON` (WebAuthn 3, 5.1.8): fields that a browser adds are dropped. */
const registration = z.object({
  id: base64url(1400),
  rawId: base64url(1400),
  type: z.literal('public-key'),
  clientExtensionResults: z.object({}).default({}),
  response: z.object({
    clientDataJSON: base64url(4096),
    attestationObject: base64url(16_384),
    transports: z.array(z.string().max(20)).max(8).exactOptional(),
  }),
});
const label = z.string().trim().min(1).max(64);
/** A new device, as the page sends it. */
const newDevice = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('totp'),
    ceremony: token,
    code: z
      .string()
      .max(16)
      .transform((text) => text.replace(/\s/g, '')),
    label,
  }),
  z.strictObject({ kind: z.literal('passkey'), response: registration, label }),
]);
export type NewDevice = z.output<typeof newDevice>;

const deviceErrors = ['LOGIN_ATTEMPT_OVER', 'CODE_WRONG', 'PASSKEY_REFUSED'] as const;
const codes = { recovery_codes: texts };
const withToken = z.strictObject({ token });

export const openInvitation = endpoint({
  method: 'POST',
  path: '/v1/invitation',
  summary: 'Show what an invitation is for.',
  admits: ['viewer'],
  relayed: relayedForLogins,
  event: 'invitation.open',
  params: noParams,
  body: withToken,
  answer: invitationFacts,
  errors: ['INVITATION_OVER'],
});

export const checkInvitationPassword = endpoint({
  method: 'POST',
  path: '/v1/invitation/password',
  summary: 'Check whether a password may be chosen.',
  admits: ['viewer'],
  relayed: relayedForLogins,
  event: 'invitation.open',
  params: noParams,
  body: z.strictObject({ token, password }),
  answer: noAnswer,
  errors: ['INVITATION_OVER', 'PASSWORD_WEAK'],
});

export const beginInvitationTotp = endpoint({
  method: 'POST',
  path: '/v1/invitation/totp',
  summary: 'Begin to enrol an authenticator app.',
  admits: ['viewer'],
  relayed: relayedForLogins,
  event: 'invitation.open',
  params: noParams,
  body: withToken,
  answer: totpEnrolment,
  errors: ['INVITATION_OVER'],
});

export const beginInvitationPasskey = endpoint({
  method: 'POST',
  path: '/v1/invitation/passkey',
  summary: 'Begin to enrol a passkey.',
  admits: ['viewer'],
  relayed: relayedForLogins,
  event: 'invitation.open',
  params: noParams,
  body: withToken,
  answer: creationOptions,
  errors: ['INVITATION_OVER', 'PASSKEY_REFUSED'],
});

export const acceptInvitation = endpoint({
  method: 'POST',
  path: '/v1/invitation/accept',
  summary: 'Accept an invitation: the user can sign in, and is signed in.',
  admits: ['viewer'],
  event: 'invitation.accept',
  params: noParams,
  body: z.strictObject({ token, password: password.optional(), device: newDevice }),
  answer: record({ identity: webIdentity, ...codes }),
  errors: ['INVITATION_OVER', 'PASSWORD_WEAK', 'SECOND_FACTOR_REQUIRED', ...deviceErrors],
});

export const showAccount = endpoint({
  method: 'GET',
  path: '/v1/account',
  summary: "Show the caller's own account.",
  admits: ['viewer'],
  relayed: relayedSignedIn,
  event: 'account.show',
  params: noParams,
  body: noBody,
  answer: accountInfo,
  errors: ['USER_UNKNOWN'],
});

export const beginTotp = endpoint({
  method: 'POST',
  path: '/v1/account/totp',
  summary: 'Begin to enrol an authenticator app.',
  admits: ['viewer'],
  relayed: relayedSignedIn,
  event: 'mfa_device.add',
  params: noParams,
  body: noBody,
  answer: totpEnrolment,
  errors: ['LOGIN_TOO_OLD', 'USER_NOT_LOCAL'],
});

export const beginPasskey = endpoint({
  method: 'POST',
  path: '/v1/account/passkey',
  summary: 'Begin to enrol a passkey.',
  admits: ['viewer'],
  relayed: relayedSignedIn,
  event: 'mfa_device.add',
  params: noParams,
  body: noBody,
  answer: creationOptions,
  errors: ['LOGIN_TOO_OLD', 'USER_NOT_LOCAL', 'PASSKEY_REFUSED'],
});

export const addDevice = endpoint({
  method: 'POST',
  path: '/v1/account/devices',
  summary: 'Enrol a second factor.',
  admits: ['viewer'],
  relayed: { ...relayedSignedIn, bodyLimit: 48 * 1024 },
  event: 'mfa_device.add',
  params: noParams,
  body: z.strictObject({ device: newDevice }),
  answer: record(codes),
  errors: ['LOGIN_TOO_OLD', 'USER_NOT_LOCAL', 'TOO_MANY', ...deviceErrors],
});

export const removeDevice = endpoint({
  method: 'DELETE',
  path: '/v1/account/devices/:name',
  summary: 'Remove a second factor; other browsers are signed out.',
  admits: ['viewer'],
  relayed: relayedSignedIn,
  event: 'mfa_device.remove',
  params: z.strictObject({ name }),
  body: noBody,
  answer: noAnswer,
  errors: ['LOGIN_TOO_OLD', 'USER_NOT_LOCAL', 'DEVICE_UNKNOWN', 'SECOND_FACTOR_REQUIRED'],
});

export const putPassword = endpoint({
  method: 'PUT',
  path: '/v1/account/password',
  summary: 'Set the password; other browsers are signed out.',
  admits: ['viewer'],
  relayed: relayedSignedIn,
  event: 'user.password',
  params: noParams,
  body: z.strictObject({ password }),
  answer: noAnswer,
  errors: ['LOGIN_TOO_OLD', 'USER_NOT_LOCAL', 'PASSWORD_WEAK'],
});

export const createRecoveryCodes = endpoint({
  method: 'POST',
  path: '/v1/account/recovery-codes',
  summary: 'Make new recovery codes in place of the old ones.',
  admits: ['viewer'],
  relayed: relayedSignedIn,
  event: 'recovery_codes.create',
  params: noParams,
  body: noBody,
  answer: record(codes),
  errors: ['LOGIN_TOO_OLD', 'USER_NOT_LOCAL'],
});

export const accountEndpoints = [
  openInvitation,
  checkInvitationPassword,
  beginInvitationTotp,
  beginInvitationPasskey,
  acceptInvitation,
  showAccount,
  beginTotp,
  beginPasskey,
  addDevice,
  removeDevice,
  putPassword,
  createRecoveryCodes,
] as const;
