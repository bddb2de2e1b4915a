/** `steno users`: who there is, and what an administrator does about them. */
import { Command, InvalidArgumentError } from 'commander';
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
import { call } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Invitation, UserInfo } from '#schemas/api/people/users.js';
import { isName } from '#schemas/base/identity.js';
import type { Traits } from '#schemas/base/identity.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';

interface Options {
  readonly json?: boolean;
}
type GrantOptions = Options & { readonly roles?: readonly string[]; readonly traits?: Traits };

export function parseNames(text: string): string[] {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const wrong = names.find((name) => !isName(name));
  if (wrong !== undefined || names.length === 0)
    throw new InvalidArgumentError('Give names as a,b,c: lower-case letters, digits, dot, dash and underscore.');
  return names;
}

export function parseTrait(text: string, previous: Traits = {}): Traits {
  const equals = text.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError('Give a trait as key=value; the option may be repeated.');
  const key = text.slice(0, equals);
  return {
    ...previous,
    [key]: [
      ...(previous[key] ?? []),
      ...text
        .slice(equals + 1)
        .split(',')
        .filter((value) => value !== ''),
    ],
  };
}

const open = (): Client => openClient(openHome());

export function usersCommand(): Command {
  const command = new Command('users').description('list users, or invite, change and put out one').option('--json', 'print JSON');
  command.action(async (options: Options) => {
    const users = await call(open().authority, listUsers, {});
    if (options.json === true) return json(standardOutput, users);
    table<UserInfo>(standardOutput, users, [
      { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
      {
        title: 'STATE',
        value: stateOf,
        style: (user) => (user.disabled_at !== null ? 'red' : stateOf(user) === 'active' ? 'green' : 'yellow'),
      },
      { title: 'BY', value: ({ kind, connector }) => connector ?? kind },
      { title: 'ROLES', value: ({ roles }) => roles.join(',') },
      { title: 'FACTORS', value: factorsOf },
      { title: 'LAST LOGIN', value: ({ last_login_at: at }) => (at === null ? 'never' : moment(at)) },
    ]);
  });
  command
    .command('add')
    .description('invite a user: prints a link that works once, for a day')
    .argument('<name>')
    .requiredOption('--roles <a,b>', 'roles to hold', parseNames)
    .option('--traits <key=value>', 'facts that roles may refer to; may be repeated', parseTrait)
    .option('--json', 'print JSON')
    .action(async (name: string, options: GrantOptions & { readonly roles: readonly string[] }) => {
      if (!isName(name)) throw new StenoError('USAGE', `"${name}" is no user name: lower-case letters, digits, dot, dash and underscore`);
      tellInvitation(
        await call(open().authority, createUser, { body: { name, roles: options.roles, traits: options.traits ?? {} } }),
        options,
      );
    });
  command
    .command('show')
    .description('everything about one user')
    .argument('<name>')
    .option('--json', 'print JSON')
    .action(async (name: string, options: Options) => tellUser(await call(open().authority, showUser, { params: { name } }), options));
  command
    .command('edit')
    .description('give other roles or traits; certificates follow at the next login')
    .argument('<name>')
    .option('--roles <a,b>', 'roles to hold, instead of those they have', parseNames)
    .option('--traits <key=value>', 'traits, instead of those they have; may be repeated', parseTrait)
    .option('--json', 'print JSON')
    .action(async (name: string, options: GrantOptions) => {
      if (options.roles === undefined && options.traits === undefined) throw new StenoError('USAGE', 'give --roles or --traits');
      const { roles, traits } = options;
      tellUser(
        await call(open().authority, updateUser, {
          params: { name },
          body: {
            ...(roles === undefined ? {} : { roles }),
            ...(traits === undefined ? {} : { traits }),
          },
        }),
        options,
      );
    });
  command
    .command('disable')
    .description('end live sessions, sign out everywhere, refuse certificates, until enabled again')
    .argument('<name>')
    .option('--reason <text>', 'why; stands in the audit and in the lock', '')
    .action(async (name: string, { reason }: { reason: string }) => {
      await call(open().authority, disableUser, { params: { name }, body: { reason } });
      standardOutput.out.write(`${name} is disabled and locked.\n`);
    });
  command
    .command('enable')
    .description('let a disabled user in again')
    .argument('<name>')
    .action(async (name: string) => {
      await call(open().authority, enableUser, { params: { name } });
      standardOutput.out.write(`${name} is enabled.\n`);
    });
  command
    .command('rm')
    .description('forget a user; the name is kept from others until it is released')
    .argument('<name>')
    .action(async (name: string) => {
      await call(open().authority, deleteUser, { params: { name } });
      standardOutput.out.write(`${name} is removed.\n`);
    });
  command
    .command('release')
    .description(
      'let the name of a removed user be used by somebody else, who sees nothing of before as their own; without a name, list those that are kept',
    )
    .argument('[name]')
    .option('--json', 'print JSON')
    .action(async (name: string | undefined, options: Options) => {
      if (name !== undefined) {
        await call(open().authority, releaseUserName, { params: { name } });
        standardOutput.out.write(`The name ${name} may be used again.\n`);
        return;
      }
      const kept = await call(open().authority, listUserNames, {});
      if (options.json === true) return json(standardOutput, kept);
      table(standardOutput, kept, [
        { title: 'NAME', value: (row) => row.name },
        { title: 'REMOVED', value: (row) => moment(row.removed_at) },
      ]);
    });
  command
    .command('reset')
    .description('a new invitation; password, devices, recovery codes and browsers of before no longer count')
    .argument('<name>')
    .option('--json', 'print JSON')
    .action(async (name: string, options: Options) =>
      tellInvitation(await call(open().authority, resetUser, { params: { name } }), options),
    );
  return command;
}

export function stateOf({ disabled_at, invited_until, kind, password, devices }: UserInfo): string {
  if (disabled_at !== null) return 'disabled';
  if (kind !== 'local' || password || devices.length > 0) return 'active';
  return invited_until === null ? 'no login' : 'invited';
}

function factorsOf({ password, devices }: UserInfo): string {
  const count = (kind: string): string[] => {
    const n = devices.filter((device) => device.kind === kind).length;
    return n === 0 ? [] : [n === 1 ? kind : `${n} ${kind}s`];
  };
  return [...(password ? ['password'] : []), ...count('totp'), ...count('passkey')].join(', ') || '-';
}

function tellInvitation(invitation: Invitation, options: Options): void {
  if (options.json === true) return json(standardOutput, invitation);
  const { out, err, env } = standardOutput;
  err.write(`Give this link to ${invitation.user}, over a channel you trust. It works once, until ${moment(invitation.expires_at)}:\n`);
  out.write(`${styled(out, env, 'cyan', visible(invitation.link))}\n`);
}

function tellUser(user: UserInfo, options: Options): void {
  if (options.json === true) return json(standardOutput, user);
  const { out, env } = standardOutput;
  const line = (label: string, value: string): void => void out.write(`  ${styled(out, env, 'dim', label.padEnd(12))} ${visible(value)}\n`);
  out.write(`${styled(out, env, 'bold', user.name)}  ${stateOf(user)}\n`);
  line('comes by', user.connector ?? user.kind);
  line('roles', user.roles.join(', '));
  for (const [key, values] of Object.entries(user.traits)) line('trait', `${key} = ${values.join(', ')}`);
  line('factors', factorsOf(user));
  for (const device of user.devices)
    line(
      'device',
      `${device.id}  ${device.kind}  ${device.label}  ${device.last_used_at === null ? 'never used' : `used ${moment(device.last_used_at)}`}`,
    );
  if (user.kind === 'local') line('recovery', `${user.recovery_codes_left} codes left`);
  line('created', `${moment(user.created_at)} by ${user.created_by}`);
  if (user.handlers.length > 0)
    line('in hands of', `${user.handlers.join(', ')}: made or reset the account, and could come in as ${user.name}`);
  line('last login', user.last_login_at === null ? 'never' : moment(user.last_login_at));
  if (user.invited_until !== null) line('invited', `until ${moment(user.invited_until)}`);
  if (user.disabled_at !== null) line('disabled', moment(user.disabled_at));
}
