/** `steno invite`, `steno invitations`: one named user into one live session, for a while. */
import { Command, Option } from 'commander';
import { createInvitation, listInvitations, revokeInvitation } from '#schemas/api/access/session-invitations.js';
import { invitedModes } from '#schemas/documents/session-invitation.js';
import type { InvitedMode, SessionInvitationView } from '#schemas/documents/session-invitation.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { formatSessionJoin } from '#schemas/session-join.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { parseSpan } from '../../terminal/arguments.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';

const { out, err, env } = standardOutput;
const colours = { open: 'green', used: null, revoked: 'dim', over: 'dim' } as const;

interface InviteOptions {
  readonly user: string;
  readonly mode: InvitedMode;
  readonly for: number;
  readonly reason: string;
  readonly json?: boolean;
}

export function inviteCommand(): Command {
  return new Command('invite')
    .description('invite a user into a live session')
    .argument('<id>', 'of the session')
    .requiredOption('--user <name>', 'whom; the invitation counts for nobody else')
    .addOption(new Option('--mode <mode>', 'as what; your roles say what you may invite to').choices(invitedModes).default('observer'))
    .option('--for <span>', 'how long they may be in it, such as 30m or 2h, at most a day', parseSpan, 1_800_000)
    .requiredOption('--reason <text>', 'why, in one line; it is recorded with the session')
    .option('--json', 'print JSON')
    .action(async (id: string, { user, mode, for: duration, reason, json: asJson }: InviteOptions) => {
      const body = { session: id.toLowerCase(), user, mode, duration, reason };
      const invitation = await call(openClient(openHome()).authority, createInvitation, { body });
      if (asJson === true) return json(standardOutput, invitation);
      const { session, id: code, link, expires_at: until } = invitation;
      out.write(`${styled(out, env, 'green', '✓')} ${visible(user)} may join once as ${mode}, until ${moment(until)}\n`);
      out.write(`  send them     steno join ${visible(code)}\n`);
      out.write(`  or the link   ${visible(link)}\n`);
      out.write(`  or, for ssh   ssh -t ${visible(formatSessionJoin({ session, mode, invitation: code }))}@GATEWAY\n`);
      out.write(`  to revoke it  steno invitations revoke ${visible(code)}\n`);
    });
}

export function invitationsCommand(): Command {
  return new Command('invitations')
    .description('list invitations into live sessions, by and for you; revoke one')
    .addCommand(revokeCommand())
    .option('--all', 'also those that are revoked or over')
    .option('--json', 'print JSON')
    .action(async (options: { readonly all?: boolean; readonly json?: boolean }) => {
      const known = await call(openClient(openHome()).authority, listInvitations, {});
      const invitations = options.all === true ? known : known.filter(({ state }) => state === 'open' || state === 'used');
      if (options.json === true) return json(standardOutput, invitations);
      if (invitations.length === 0) {
        err.write(known.length === 0 ? 'No invitations.\n' : 'No open invitations; --all lists the others.\n');
        return;
      }
      table<SessionInvitationView>(standardOutput, invitations, [
        { title: 'ID', value: ({ id }) => id },
        { title: 'STATE', value: ({ state }) => state, style: ({ state }) => colours[state] },
        { title: 'USER', value: ({ user }) => user, style: () => 'bold' },
        { title: 'AS', value: ({ mode }) => mode },
        { title: 'SESSION', value: ({ session }) => session },
        { title: 'OF', value: ({ session_user: owner, login, node }) => `${owner} (${login}@${node})` },
        { title: 'BY', value: ({ by }) => by },
        { title: 'UNTIL', value: ({ expires_at }) => moment(expires_at), style: () => 'dim' },
        { title: 'WHY', value: ({ reason }) => reason },
      ]);
    });
}

function revokeCommand(): Command {
  return new Command('revoke')
    .description('revoke an invitation; who is in by it must leave')
    .argument('<id>', 'as `steno invitations` lists it')
    .action(async (id: string) => {
      const { user } = await call(openClient(openHome()).authority, revokeInvitation, { params: { name: id } });
      out.write(`${styled(out, env, 'green', '✓')} ${visible(user)} is no longer invited\n`);
    });
}
