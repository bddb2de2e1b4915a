/** `steno ssh` and `steno config`: from a certificate to a node, with the ssh of this machine. */
import { spawnSync } from 'node:child_process';
import { Command } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { NODE_DOMAIN, isLogin, isName, stripDomain } from '#schemas/base/identity.js';
import { openHome, readProfile, sshConfig } from '../../client/home.js';
import { standardOutput } from '../../terminal/output.js';
import { freshTrust } from '../../client/trust.js';

export function configCommand(): Command {
  return new Command('config')
    .description('print an OpenSSH client configuration for all nodes')
    .addHelpText('after', '\nThe same text is in $STENO_HOME/ssh_config after every login; `Include` it in ~/.ssh/config.')
    .action(() => {
      const home = openHome();
      standardOutput.out.write(sshConfig(home, readProfile(home)));
    });
}

export function sshCommand(): Command {
  return new Command('ssh')
    .description('connect to a node with the ssh of this machine')
    .argument('<[login@]node>', 'where to')
    .argument('[command...]', 'what to run there')
    .passThroughOptions()
    .action(async (target: string, command: readonly string[]) => {
      const home = openHome();
      readProfile(home);
      await freshTrust(home);
      const at = target.lastIndexOf('@');
      const login = at > 0 ? target.slice(0, at) : undefined;
      const node = stripDomain(target.slice(at + 1));
      if (!isName(node) || (login !== undefined && !isLogin(login))) throw new StenoError('USAGE', `"${target}" is not [LOGIN@]NODE`);
      const args = ['-F', home.sshConfig, ...(login === undefined ? [] : ['-l', login]), '--', `${node}${NODE_DOMAIN}`, ...command];
      const { status, error } = spawnSync('ssh', args, { stdio: 'inherit' });
      if (error !== undefined) throw new StenoError('INTERNAL', `ssh: ${error.message}`);
      process.exitCode = status ?? 255;
    });
}
