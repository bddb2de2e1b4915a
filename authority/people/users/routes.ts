/** Routes about users: for administrators, and for users themselves through a viewer. */
import {
  acceptInvitation,
  addDevice,
  beginInvitationPasskey,
  beginInvitationTotp,
  beginPasskey,
  beginTotp,
  checkInvitationPassword,
  createRecoveryCodes,
  openInvitation,
  putPassword,
  removeDevice,
  showAccount,
} from '#schemas/api/people/account.js';
import {
  createUser,
  deleteUser,
  disableUser,
  enableUser,
  listUserNames,
  listUsers,
  releaseUserName,
  resetUser,
  showUser,
  updateUser,
} from '#schemas/api/people/users.js';
import { WEB_SESSION_HEADER } from '#schemas/endpoint/endpoint.js';
import { handle } from '../../http/server.js';
import type { Context, Route } from '../../http/server.js';
import type { Links } from '../../web-sessions/web-sessions.js';
import { isFresh, requireFresh } from '../../web-sessions/fresh.js';
import type { Enrolment, Enrolling } from './enrolment.js';
import type { PowerGuard } from '../../power/guard.js';
import type { Users } from './users.js';

export interface UserRouteParts {
  readonly users: Users;
  readonly guard: PowerGuard;
  readonly enrolment: Enrolment;
  readonly links: Links;
  readonly clock: () => number;
}

export function userRoutes({ users, guard, enrolment, links, clock }: UserRouteParts): readonly Route[] {
  const account = async ({ headers }: Pick<Context<unknown>, 'headers'>, fresh: boolean) => {
    const who = await links.introspect(headers[WEB_SESSION_HEADER] ?? '');
    if (fresh) requireFresh(who, clock());
    return who;
  };
  const invited = (body: { readonly token: string }): Enrolling => ({ kind: 'invited', token: body.token });
  return [
    handle(listUsers, () => users.list()),
    handle(
      createUser,
      async (c) => users.add(c.body.name, { roles: c.body.roles, traits: c.body.traits }, await guard.author(c)),
      (body) => body.name,
    ),
    handle(showUser, (_, { name }) => users.show(name)),
    handle(updateUser, async (c, { name }) => {
      const { roles, traits } = c.body;
      const grants = { ...(roles === undefined ? {} : { roles }), ...(traits === undefined ? {} : { traits }) };
      return users.edit(name, grants, await guard.author(c));
    }),
    handle(disableUser, async (c, { name }) => users.disable(name, c.body.reason, await guard.author(c))),
    handle(enableUser, async (c, { name }) => users.enable(name, await guard.author(c))),
    handle(resetUser, async (c, { name }) => users.reset(name, await guard.author(c))),
    handle(deleteUser, async (c, { name }) => users.remove(name, await guard.author(c))),
    handle(listUserNames, () => users.keptNames()),
    handle(releaseUserName, async (c, { name }) => users.release(name, await guard.author(c))),

    handle(openInvitation, ({ body }) => enrolment.facts(body.token)),
    handle(checkInvitationPassword, ({ body }) => enrolment.checkPassword(body.token, body.password)),
    handle(beginInvitationTotp, ({ body }) => enrolment.beginTotp(invited(body))),
    handle(beginInvitationPasskey, async ({ body }) => ({ ...(await enrolment.beginPasskey(invited(body))) })),
    handle(acceptInvitation, ({ body, caller }) => enrolment.accept(body.token, body, caller)),

    handle(showAccount, async (c) => {
      const who = await account(c, false);
      return { ...(await users.show(who.user)), via: who.via, fresh: isFresh(who, clock()), passkeys: enrolment.allowsPasskeys() };
    }),
    handle(beginTotp, async (c) => enrolment.beginTotp({ kind: 'user', user: (await account(c, true)).user })),
    handle(beginPasskey, async (c) => ({
      ...(await enrolment.beginPasskey({ kind: 'user', user: (await account(c, true)).user })),
    })),
    handle(addDevice, async (c) => enrolment.addDevice((await account(c, true)).user, c.body.device, c.caller)),
    handle(removeDevice, async (c, { name }) => {
      const who = await account(c, true);
      return enrolment.removeDevice(who.user, name, who.token, c.caller);
    }),
    handle(putPassword, async (c) => {
      const who = await account(c, true);
      return enrolment.setPassword(who.user, c.body.password, who.token, c.caller);
    }),
    handle(createRecoveryCodes, async (c) => enrolment.newRecoveryCodes((await account(c, true)).user, c.caller)),
  ];
}
