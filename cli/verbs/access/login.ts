/** `steno login`: to a certificate, by the owner's socket on the machine that runs Steno, through a browser elsewhere. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { logInCommand, pollCommandLogin } from '#schemas/api/front/sign-in.js';
import { logInAsOwner } from '#schemas/api/people/user-certificates.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import type { LoginResult } from '#schemas/api/people/user-certificates.js';
import type { DeviceLoginStart, PublicAddresses } from '#schemas/api/front/sign-in.js';
import { NODE_DOMAIN } from '#schemas/base/identity.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { overSocket, openPublicWeb } from '../../client/client.js';
import type { PublicWeb } from '../../client/client.js';
import { dataDir, readRunFile } from '../../machine/data-dir.js';
import { openHome, readProfile } from '../../client/home.js';
import type { Home } from '../../client/home.js';
import { json, moment, standardOutput, styled, visible } from '../../terminal/output.js';
import { tlsPublicKey } from '../../client/trust.js';
import { keyOf, keepLogin, loadAgent, signInLink } from '../../client/sign-in.js';
import { tellUse, useRequests } from './requests.js';

interface LoginOptions {
  readonly data?: string;
  readonly proxy?: string;
  readonly auth?: string;
  readonly user?: string;
  readonly browser: boolean;
  readonly ca?: string;
  readonly web?: boolean;
  readonly agent: boolean;
  readonly request?: readonly string[];
  readonly json?: boolean;
}

export function loginCommand(): Command {
  return new Command('login')
    .description('get a certificate: through a browser, or as the owner of a Steno on this machine')
    .option('--proxy <url>', 'address of the viewer; without it, the Steno on this machine, or the one of the last login')
    .option('--auth <name>', 'how to sign in there: local, or a connector of single sign-on')
    .option('--user <name>', 'only this user may approve the login')
    .option('--no-browser', 'only print the address and the code')
    .option('--ca <file>', 'PEM of the CA that the viewer is trusted by; without it, those of the system')
    .option('--data <dir>', 'data directory of the Steno on this machine')
    .option('--web', 'also print a one-time link that signs a browser in')
    .option('--request <id...>', 'also carry these approved access requests; the certificate ends with the first of them')
    .option('--no-agent', 'do not load the certificate into the SSH agent')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
With --proxy the command shows a code. Whoever signs in at the address it prints and approves that very code gives this
machine a certificate: for a key that is made here and never leaves. Without --proxy, on the machine that runs Steno,
being able to open the Unix socket in the data directory is the proof of identity.

The certificate, its key, known_hosts and ssh_config go to $STENO_HOME (default ~/.steno).`,
    )
    .action(async (options: LoginOptions) => {
      const home = openHome();
      const web = proxyOf(options, home);
      const { request } = options;
      // A login that is good still need not be made again.
      const held = request !== undefined && options.data === undefined && options.proxy === undefined && isCurrent(home);
      if (!held) await (web === null ? loginBySocket(options, home) : loginByBrowser(options, home, web));
      if (request === undefined) return;
      const login = await useRequests(home, request, options.agent);
      if (options.json === true)
        json(standardOutput, {
          user: login.user,
          requests: login.requests,
          logins: login.logins,
          valid_before: login.valid_before,
          home: home.dir,
        });
      else tellUse(login);
    });
}

/** Null: the socket of this machine's Steno. */
function proxyOf(options: LoginOptions, home: Home): PublicWeb | null {
  const ca = options.ca === undefined ? undefined : readFileSync(options.ca, 'utf8');
  if (options.proxy !== undefined) return openPublicWeb(options.proxy, ca);
  const dir = dataDir(options.data);
  if (options.data !== undefined || existsSync(dir.runFile) || !existsSync(home.profile)) return null;
  const profile = readProfile(home);
  return openPublicWeb(profile.web, ca ?? profile.web_ca);
}

async function loginBySocket(options: LoginOptions, usual: Home): Promise<void> {
  const run = readRunFile(dataDir(options.data));
  const home = run.fips ? openHome(process.env, run) : usual;
  const key = keyOf(home);
  const result = await call(overSocket(run.socket), logInAsOwner, {
    body: {
      public_key: formatPublicLine(key.publicBlob, 'steno'),
      tls_key: tlsPublicKey(home),
    },
  });
  const profile = keepLogin(home, result, run);
  const inAgent = options.agent && loadAgent(home, profile);
  const link = options.web === true ? await signInLink(run.socket, run.web) : undefined;
  tell(options, home, result, inAgent, link);
}

async function loginByBrowser(options: LoginOptions, home: Home, web: PublicWeb): Promise<void> {
  if (options.web === true)
    throw new StenoError('USAGE', '--web prints a link of the Steno on this machine; with --proxy, sign in at that address');
  const key = keyOf(home);
  const begun = await call(web.send, logInCommand, {
    body: {
      public_key: formatPublicLine(key.publicBlob),
      tls_key: tlsPublicKey(home),
      client: clientName(),
      ...(options.user === undefined ? {} : { user: options.user }),
      ...(options.auth === undefined ? {} : { auth: options.auth }),
    },
  });
  const { err, env } = standardOutput;
  err.write(`Open  ${styled(err, env, 'cyan', visible(begun.verification_uri_complete))}\n`);
  err.write(
    `and approve the code  ${styled(err, env, 'bold', visible(begun.user_code))}  within ${Math.round(begun.expires_in / 60)} minutes.\n`,
  );
  if (options.browser) openBrowser(begun.verification_uri_complete);
  const { login, addresses } = await approval(web, begun);
  const profile = keepLogin(home, login, addresses, web.ca);
  tell(options, home, login, options.agent && loadAgent(home, profile), undefined);
}

/** Asks until the login is approved; a server that is away for a moment is asked again. */
async function approval(
  web: PublicWeb,
  begun: DeviceLoginStart,
): Promise<{ readonly login: LoginResult; readonly addresses: PublicAddresses }> {
  const end = Date.now() + begun.expires_in * 1000;
  while (Date.now() < end) {
    await sleep(Math.min(Math.max(begun.interval, 1), 30) * 1000);
    const answer = await call(web.send, pollCommandLogin, { body: { device_code: begun.device_code } }).catch(
      (error: unknown): { readonly state: 'waiting' } => {
        if (error instanceof StenoError && error.entry.retryable) return { state: 'waiting' };
        throw error;
      },
    );
    if (answer.state === 'approved') return answer;
  }
  throw new StenoError('LOGIN_ATTEMPT_OVER');
}

/** Identifies this command on the page, so that the user recognizes it. */
function clientName(): string {
  return `steno login, ${userInfo().username} on ${hostname()}`.replace(/[^ -~]/g, '?').slice(0, 100);
}

/** Opens the browser if there is a desktop. The address has no secret, only a code that must be approved. */
function openBrowser(url: string): void {
  const { DISPLAY, WAYLAND_DISPLAY } = process.env;
  const command = process.platform === 'darwin' ? 'open' : DISPLAY !== undefined || WAYLAND_DISPLAY !== undefined ? 'xdg-open' : undefined;
  if (command === undefined) return;
  const child = spawn(command, [url], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
}

function isCurrent(home: Home): boolean {
  return existsSync(home.profile) && readProfile(home).valid_before > Date.now();
}

function tell(options: LoginOptions, home: Home, login: LoginResult, inAgent: boolean, link: string | undefined): void {
  // Print one JSON value: with requests, that of the certificate that contains them.
  if (options.json === true && options.request !== undefined) return;
  if (options.json === true) {
    json(standardOutput, {
      user: login.user,
      roles: login.roles,
      logins: login.logins,
      valid_before: login.valid_before,
      home: home.dir,
      agent: inAgent,
      ...(link === undefined ? {} : { link }),
    });
    return;
  }
  const { out, env } = standardOutput;
  out.write(
    `${styled(out, env, 'green', '✓')} Signed in as ${styled(out, env, 'bold', visible(login.user))} (${login.roles.join(', ')}) until ${moment(login.valid_before)}\n`,
  );
  out.write(`  certificate  ${home.certificate}${inAgent ? ' (also in the SSH agent)' : ''}\n`);
  out.write(`  connect      ssh -F ${home.sshConfig} LOGIN@NODE${NODE_DOMAIN}\n`);
  out.write('  nodes        steno nodes\n');
  if (link !== undefined) out.write(`  browser      ${link}\n`);
}
