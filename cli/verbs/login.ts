/** `steno login`, `steno config`, `steno ssh`: from the owner's socket to a certificate, and to a node. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { Command } from 'commander';
import { StenoError } from '#schemas/errors.js';
import type { LoginResult } from '#schemas/api.js';
import { NODE_DOMAIN, isLogin, isName, stripDomain } from '#schemas/identity.js';
import { generateKey, loadPrivateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { callSocket } from '../client.js';
import { dataDir, readRunFile } from '../data-dir.js';
import { createHome, knownHosts, openHome, readProfile, sshConfig, writeWhole } from '../home.js';
import type { Home, Profile } from '../home.js';
import { freshTrust, tlsPublicKey, trustOf, writeTlsCertificate } from '../trust.js';
import { json, moment, standardOutput, styled, visible } from '../output.js';

export function loginCommand(): Command {
  return new Command('login')
    .description('get a certificate as the owner of a Steno on this machine')
    .option('--data <dir>', 'data directory of the Steno')
    .option('--web', 'also print a one-time link that signs a browser in')
    .option('--no-agent', 'do not load the certificate into the SSH agent')
    .option('--json', 'print JSON')
    .addHelpText('after', `
The certificate, its key, known_hosts and ssh_config go to $STENO_HOME (default ~/.steno). The Unix socket in the data
directory belongs to the user who runs Steno: being able to open it is the proof of identity.`)
    .action(async (options: { data?: string; web?: boolean; agent: boolean; json?: boolean }) => {
      const dir = dataDir(options.data);
      const run = readRunFile(dir);
      const home = openHome(process.env, run);
      const key = keyOf(home);
      const result = await callSocket<LoginResult>(run.socket, 'POST', '/v1/login', { public_key: formatPublicLine(key.publicBlob, 'steno'), tls_key: tlsPublicKey(home) });
      const profile: Profile = {
        version: 1,
        user: result.user,
        roles: [...result.roles],
        logins: [...result.logins],
        ssh: run.ssh,
        web: run.web,
        authority: run.authority,
        ...trustOf(result),
        valid_before: result.valid_before,
      };
      // The profile goes last: a login that is cut short leaves the old one, whose certificate still matches the key.
      writeWhole(home.certificate, `${result.certificate.trim()}\n`, 0o644);
      writeTlsCertificate(home, result.x509_certificate);
      writeWhole(home.knownHosts, knownHosts(profile), 0o644);
      writeWhole(home.sshConfig, sshConfig(home, profile), 0o644);
      writeWhole(home.profile, `${JSON.stringify(profile, null, 2)}\n`, 0o600);
      const inAgent = options.agent && loadAgent(home, profile);
      const link = options.web === true ? await signInLink(run.socket, run.web) : undefined;
      if (options.json === true) {
        json(standardOutput, {
          user: profile.user, roles: profile.roles, logins: profile.logins, valid_before: profile.valid_before, home: home.dir,
          agent: inAgent, ...(link === undefined ? {} : { link }),
        });
        return;
      }
      const { out, env } = standardOutput;
      out.write(`${styled(out, env, 'green', '✓')} Signed in as ${styled(out, env, 'bold', visible(profile.user))} (${profile.roles.join(', ')}) until ${moment(profile.valid_before)}\n`);
      out.write(`  certificate  ${home.certificate}${inAgent ? ' (also in the SSH agent)' : ''}\n`);
      out.write(`  connect      ssh -F ${home.sshConfig} LOGIN@NODE${NODE_DOMAIN}\n`);
      out.write('  nodes        steno nodes\n');
      if (link !== undefined) out.write(`  browser      ${link}\n`);
    });
}

/** The key stays from login to login, so that a certificate in an agent keeps its key. */
function keyOf(home: Home): SshPrivateKey {
  createHome(home);
  if (existsSync(home.key)) return loadPrivateKey(readFileSync(home.key, 'utf8'));
  const key = generateKey(home.key.endsWith('id_ecdsa') ? 'p256' : undefined);
  writeWhole(home.key, key.toOpenSsh('steno'), 0o600);
  return key;
}

export async function signInLink(socket: string, web: string): Promise<string> {
  const { url_token } = await callSocket<{ url_token: string }>(socket, 'POST', '/v1/sign-in-link', {});
  // In the fragment, which browsers do not send: the token appears in no log and no referrer.
  return `${web}/#sign-in=${url_token}`;
}

function loadAgent(home: Home, profile: Profile): boolean {
  if (process.env['SSH_AUTH_SOCK'] === undefined) return false;
  const seconds = Math.max(1, Math.floor((profile.valid_before - Date.now()) / 1000));
  return spawnSync('ssh-add', ['-q', '-t', String(seconds), home.key], { stdio: 'ignore', timeout: 5_000 }).status === 0;
}

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
