/** Users, by administrators: `steno users`. */
import { z } from 'zod';
import { traitsSchema } from '../../base/identity.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, moment, name, record, texts, textsMap } from '../../endpoint/fields.js';

const mfaDevice = record({
  id: z.string(),
  kind: z.enum(['totp', 'passkey']),
  label: z.string(),
  created_at: moment,
  last_used_at: moment.nullable(),
});
export type MfaDevice = z.output<typeof mfaDevice>;

export const userFields = {
  name: z.string(),
  kind: z.enum(['local', 'sso', 'bot']),
  /** The connector of single sign-on. */
  connector: z.string().nullable(),
  roles: texts,
  traits: textsMap,
  created_at: moment,
  created_by: z.string(),
  /** Users who could get into the account without administering everything: they created or reset it. */
  handlers: texts,
  disabled_at: moment.nullable(),
  password: z.boolean(),
  devices: list(mfaDevice),
  recovery_codes_left: z.int(),
  /** End of an open invitation; null if there is none. */
  invited_until: moment.nullable(),
  /** When a certificate was last issued to the user. */
  last_login_at: moment.nullable(),
};
export const userInfo = record(userFields);
export type UserInfo = z.output<typeof userInfo>;

/** `link` is shown to the administrator once and not stored. */
export const invitation = record({ user: z.string(), link: z.string(), expires_at: moment });
export type Invitation = z.output<typeof invitation>;

export const roleNames = z.array(name).min(1).max(64);
const params = z.strictObject({ name });

export const listUsers = endpoint({
  method: 'GET',
  path: '/v1/users',
  summary: 'List users.',
  admits: ['user:list'],
  event: 'user.list',
  params: noParams,
  body: noBody,
  answer: list(userInfo),
  errors: [],
});

export const createUser = endpoint({
  method: 'POST',
  path: '/v1/users',
  summary: 'Create a user; only this answer contains the invitation.',
  admits: ['user:create'],
  event: 'user.create',
  params: noParams,
  body: z.strictObject({ name, roles: roleNames, traits: traitsSchema.default({}) }),
  answer: invitation,
  errors: ['USER_EXISTS', 'USER_NAME_USED', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const showUser = endpoint({
  method: 'GET',
  path: '/v1/users/:name',
  summary: 'Show a user.',
  admits: ['user:read'],
  event: 'user.show',
  params,
  body: noBody,
  answer: userInfo,
  errors: ['USER_UNKNOWN'],
});

export const updateUser = endpoint({
  method: 'PUT',
  path: '/v1/users/:name',
  summary: 'Change roles or traits of a user.',
  admits: ['user:update'],
  event: 'user.update',
  params,
  body: z.strictObject({ roles: roleNames.optional(), traits: traitsSchema.optional() }),
  answer: userInfo,
  errors: ['USER_UNKNOWN', 'USER_NOT_LOCAL', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const disableUser = endpoint({
  method: 'POST',
  path: '/v1/users/:name/disable',
  summary: 'Disable a user; live sessions end at once.',
  admits: ['user:update'],
  event: 'user.disable',
  params,
  body: z.strictObject({ reason: z.string().max(256).default('') }),
  answer: noAnswer,
  errors: ['USER_UNKNOWN', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const enableUser = endpoint({
  method: 'POST',
  path: '/v1/users/:name/enable',
  summary: 'Enable a user that was disabled.',
  admits: ['user:update'],
  event: 'user.enable',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['USER_UNKNOWN', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const resetUser = endpoint({
  method: 'POST',
  path: '/v1/users/:name/reset',
  summary: 'Remove every way into the account and invite its user again.',
  admits: ['user:update'],
  event: 'user.reset',
  params,
  body: noBody,
  answer: invitation,
  errors: ['USER_UNKNOWN', 'USER_NOT_LOCAL', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const deleteUser = endpoint({
  method: 'DELETE',
  path: '/v1/users/:name',
  summary: 'Remove a user or bot; the name stays reserved.',
  admits: ['user:delete'],
  event: 'user.delete',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['USER_UNKNOWN', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const listUserNames = endpoint({
  method: 'GET',
  path: '/v1/user-names',
  summary: 'List reserved names of removed users.',
  admits: ['user:list'],
  event: 'user_name.list',
  params: noParams,
  body: noBody,
  answer: list(record({ name: z.string(), removed_at: moment })),
  errors: [],
});

export const releaseUserName = endpoint({
  method: 'POST',
  path: '/v1/user-names/:name/release',
  summary: 'Free the name of a removed user.',
  admits: ['administer'],
  event: 'user_name.release',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const userEndpoints = [
  listUsers,
  createUser,
  showUser,
  updateUser,
  disableUser,
  enableUser,
  resetUser,
  deleteUser,
  listUserNames,
  releaseUserName,
] as const;
