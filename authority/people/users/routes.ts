/** What may be asked about users, by administrators, and by users about themselves through a viewer. */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isName, traitsSchema } from '#schemas/base/identity.js';
import { noBody, route } from '../../http/server.js';
import type { Context, Route } from '../../http/server.js';
import { tokenPattern } from '../../records/tokens.js';
import type { Links } from '../../web-sessions/web-sessions.js';
import { isFresh, requireFresh } from '../../web-sessions/fresh.js';
import type { Enrolment, Enrolling } from './enrolment.js';
import { MAX_PASSWORD } from './passwords.js';
import type { RegistrationResponseJSON } from './passkeys.js';
import type { PowerGuard } from '../../power/guard.js';
import type { Users } from './users.js';

export interface UserRouteParts {
  readonly users: Users;
  readonly guard: PowerGuard;
  readonly enrolment: Enrolment;
  readonly links: Links;
  readonly clock: () => number;
}

const name = z.string().max(63).refine(isName, 'is not a valid name');
const roles = z.array(name).min(1).max(64);
const token = z.string().regex(tokenPattern, 'is not a token');
export const password = z.string().min(1).max(MAX_PASSWORD);
/** At a login: empty for who has none, and gives a recovery code. */
export const givenPassword = z.string().max(MAX_PASSWORD);
export const code = z.string().min(6).max(32);
const base64url = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[A-Za-z0-9_-]*$/, 'is not base64url');
const label = z.string().trim().min(1).max(64);

const registration = z
  .object({
    id: base64url(1400),
    rawId: base64url(1400),
    type: z.literal('public-key'),
    clientExtensionResults: z.object({}).default({}),
    response: z.object({
      clientDataJSON: base64url(4096),
      attestationObject: base64url(16_384),
      transports: z.array(z.string().max(20)).max(8).optional(),
    }),
  })
  .transform((value) => value as unknown as RegistrationResponseJSON);

const device = z.discriminatedUnion('kind', [
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

export function userRoutes({ users, guard, enrolment, links, clock }: UserRouteParts): readonly Route[] {
  const target = ({ params }: Pick<Context<unknown>, 'params'>): string => pathName(params['name']);
  const account = async ({ headers }: Pick<Context<unknown>, 'headers'>, fresh: boolean) => {
    const who = await links.introspect(headers['x-steno-web-session'] ?? '');
    if (fresh) requireFresh(who, clock());
    return who;
  };
  const invited = (body: { readonly token: string }): Enrolling => ({ kind: 'invited', token: body.token });
  const withToken = z.strictObject({ token });
  return [
    route('GET /v1/users', ['user:list'], 'user.list', noBody, () => users.list()),
    route(
      'POST /v1/users',
      ['user:create'],
      'user.create',
      z.strictObject({ name, roles, traits: traitsSchema.default({}) }),
      async (c) => users.add(c.body.name, { roles: c.body.roles, traits: c.body.traits }, await guard.author(c)),
      (body) => body.name,
    ),
    route('GET /v1/users/:name', ['user:read'], 'user.show', noBody, (c) => users.show(target(c))),
    route(
      'PUT /v1/users/:name',
      ['user:update'],
      'user.update',
      z.strictObject({ roles: roles.optional(), traits: traitsSchema.optional() }),
      async (c) =>
        users.edit(
          target(c),
          {
            ...(c.body.roles === undefined ? {} : { roles: c.body.roles }),
            ...(c.body.traits === undefined ? {} : { traits: c.body.traits }),
          },
          await guard.author(c),
        ),
    ),
    route(
      'POST /v1/users/:name/disable',
      ['user:update'],
      'user.disable',
      z.strictObject({ reason: z.string().max(256).default('') }),
      async (c) => users.disable(target(c), c.body.reason, await guard.author(c)),
    ),
    route('POST /v1/users/:name/enable', ['user:update'], 'user.enable', noBody, async (c) =>
      users.enable(target(c), await guard.author(c)),
    ),
    route('POST /v1/users/:name/reset', ['user:update'], 'user.reset', noBody, async (c) => users.reset(target(c), await guard.author(c))),
    route('DELETE /v1/users/:name', ['user:delete'], 'user.delete', noBody, async (c) => users.remove(target(c), await guard.author(c))),
    route('GET /v1/user-names', ['user:list'], 'user_name.list', noBody, () => users.keptNames()),
    route('POST /v1/user-names/:name/release', ['administer'], 'user_name.release', noBody, async (c) =>
      users.release(target(c), await guard.author(c)),
    ),

    route('POST /v1/invitation', ['viewer'], 'invitation.open', withToken, ({ body }) => enrolment.facts(body.token)),
    route('POST /v1/invitation/password', ['viewer'], 'invitation.open', z.strictObject({ token, password }), ({ body }) =>
      enrolment.checkPassword(body.token, body.password),
    ),
    route('POST /v1/invitation/totp', ['viewer'], 'invitation.open', withToken, ({ body }) => enrolment.beginTotp(invited(body))),
    route('POST /v1/invitation/passkey', ['viewer'], 'invitation.open', withToken, ({ body }) => enrolment.beginPasskey(invited(body))),
    route(
      'POST /v1/invitation/accept',
      ['viewer'],
      'invitation.accept',
      z.strictObject({ token, password: password.optional(), device }),
      ({ body, caller }) => enrolment.accept(body.token, body, caller),
    ),

    route('GET /v1/account', ['viewer'], 'account.show', noBody, async (c) => {
      const who = await account(c, false);
      return { ...(await users.show(who.user)), via: who.via, fresh: isFresh(who, clock()), passkeys: enrolment.allowsPasskeys() };
    }),
    route('POST /v1/account/totp', ['viewer'], 'mfa_device.add', noBody, async (c) =>
      enrolment.beginTotp({ kind: 'user', user: (await account(c, true)).user }),
    ),
    route('POST /v1/account/passkey', ['viewer'], 'mfa_device.add', noBody, async (c) =>
      enrolment.beginPasskey({ kind: 'user', user: (await account(c, true)).user }),
    ),
    route('POST /v1/account/devices', ['viewer'], 'mfa_device.add', z.strictObject({ device }), async (c) =>
      enrolment.addDevice((await account(c, true)).user, c.body.device, c.caller),
    ),
    route('DELETE /v1/account/devices/:name', ['viewer'], 'mfa_device.remove', noBody, async (c) => {
      const who = await account(c, true);
      return enrolment.removeDevice(who.user, target(c), who.token, c.caller);
    }),
    route('PUT /v1/account/password', ['viewer'], 'user.password', z.strictObject({ password }), async (c) => {
      const who = await account(c, true);
      return enrolment.setPassword(who.user, c.body.password, who.token, c.caller);
    }),
    route('POST /v1/account/recovery-codes', ['viewer'], 'recovery_codes.create', noBody, async (c) =>
      enrolment.newRecoveryCodes((await account(c, true)).user, c.caller),
    ),
  ];
}

export function pathName(text: string | undefined): string {
  if (text === undefined || !isName(text)) throw new StenoError('BAD_REQUEST', 'name: is not a valid name');
  return text;
}
