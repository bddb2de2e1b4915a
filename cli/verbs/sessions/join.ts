/** `steno join`: into a live session, with the ssh of this machine. */
import { spawnSync } from 'node:child_process';
import { Command, Option } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { showInvitation } from '#schemas/api/access/session-invitations.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { formatSessionJoin, parseSessionJoin, participantModes } from '#schemas/session-join.js';
import type { ParticipantMode, SessionJoin } from '#schemas/session-join.js';
import { openClient } from '../../client/client.js';
import { openHome, readProfile } from '../../client/home.js';
import type { Home } from '../../client/home.js';
import { freshTrust } from '../../client/trust.js';

export function joinCommand(): Command {
  return new Command('join')
    .description('join a live session: watch it, type into it, or moderate it')
    .argument('<id>', 'of the session, or of an invitation, or the link of one')
    .addOption(new Option('--mode <mode>', 'as what; roles say which are allowed; an invitation says it itself').choices(participantModes))
    .addHelpText(
      'after',
      '\nAn observer goes back with Space, the left arrow or /, while the session goes on; there, c catches up and q is back to the session.\n\nKeys: q leaves (as a peer Ctrl-] q), Ctrl-L draws the screen again, c says something to everybody (as a peer Ctrl-] c);\na moderator pauses with p, resumes with r, ends with t t; the owner hands the keyboard over with h, takes it back with b, refuses peers with x.',
    )
    .action(async (id: string, { mode }: { readonly mode?: ParticipantMode }) => {
      const home = openHome();
      const join = await joinOf(home, id, mode);
      const address = formatSessionJoin(join);
      if (parseSessionJoin(address) === null) throw new StenoError('USAGE', `"${id}" is no id of a session`);
      readProfile(home);
      await freshTrust(home);
      const ssh = ['-F', home.sshConfig, '-l', address, '--', 'steno-gateway'];
      // Whoever types or moderates has to see what is, not what was.
      if (join.mode === 'observer' && process.stdin.isTTY && process.stdout.isTTY) {
        const { watch } = await import('../../live/watching.js');
        process.exitCode = await watch(() => openClient(home), join.session, ssh);
        return;
      }
      const { status, error } = spawnSync('ssh', ['-t', ...ssh], { stdio: 'inherit' });
      if (error !== undefined) throw new StenoError('INTERNAL', `ssh: ${error.message}`);
      process.exitCode = status ?? 255;
    });
}

/** Asks the authority for an invitation's session and mode, so that an invalid invitation is explained before connecting. */
async function joinOf(home: Home, id: string, mode: ParticipantMode | undefined): Promise<SessionJoin> {
  const code = /^(?:https?:\/\/[^/?#]{1,300}\/join\/)?(i-[0-9a-z]{1,32})$/i.exec(id)?.[1]?.toLowerCase();
  if (code === undefined) return { session: id.toLowerCase(), mode: mode ?? 'observer' };
  const client = openClient(home);
  const invitation = await call(client.authority, showInvitation, { params: { name: code } });
  if (invitation.user !== client.profile.user) throw new StenoError('SESSION_INVITATION_FOREIGN', `it is for ${invitation.user}`);
  if (mode !== undefined && mode !== invitation.mode) throw new StenoError('USAGE', `the invitation is for joining as ${invitation.mode}`);
  if (invitation.state === 'used') throw new StenoError('SESSION_INVITATION_USED');
  if (invitation.state !== 'open') throw new StenoError('SESSION_INVITATION_OVER', `it is ${invitation.state}`);
  return { session: invitation.session, mode: invitation.mode, invitation: code };
}
