/** Further users of a Steno under test: each with a `$STENO_HOME` of their own, as after a login. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identityExtensions, loginPrincipal } from '#schemas/base/identity.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { Ca } from '../../authority/ca/ca.js';
import { casIn } from '../../authority/testing/authority.js';
import { knownHosts, openHome, profileSchema, sshConfig } from '../../cli/client/home.js';
import { bin } from './machine.js';
import type { Result, Steno, Terminal } from './machine.js';

export interface Person {
  readonly name: string;
  readonly home: string;
  readonly config: string;
  readonly env: NodeJS.ProcessEnv;
  steno(...args: readonly string[]): Promise<Result>;
  /** Runs `steno … --json` and parses what it prints. */
  json<T>(...args: readonly string[]): Promise<T>;
  ssh(...args: readonly string[]): Promise<Result>;
  terminal(...args: readonly string[]): Terminal;
}

/** The CAs of a Steno, opened as its authority does. */
export function openAuthorities(steno: Steno): Promise<Ca> {
  return casIn(steno.data);
}

/** A user with a certificate for an hour, as after a login. The administrator of `steno` must have logged in before. */
export async function person(
  steno: Steno,
  ca: Ca,
  name: string,
  roles: readonly string[],
  logins: readonly string[],
  more: Partial<UserIdentity> = {},
): Promise<Person> {
  const home = join(steno.folder, `home-${name}`);
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const key = generateKey();
  const seconds = BigInt(Math.floor(Date.now() / 1000));
  const certificate = await ca.issueSsh('ssh-user', {
    publicKey: key.publicBlob,
    serial: seconds,
    kind: 'user',
    keyId: `user=${name}`,
    principals: logins.map(loginPrincipal),
    validAfter: seconds - 60n,
    validBefore: seconds + 3600n,
    criticalOptions: new Map(),
    extensions: new Map([
      ...identityExtensions({ user: name, roles, traits: {}, mfa: null, requests: [], ...more }),
      ['permit-pty', ''],
      ['permit-port-forwarding', ''],
    ]),
  });
  const environment = { ...steno.env, STENO_HOME: home };
  const place = openHome(environment);
  const profile = {
    ...profileSchema.parse(JSON.parse(readFileSync(join(steno.folder, 'home', 'profile.json'), 'utf8'))),
    user: name,
    roles: [...roles],
    logins: [...logins],
    valid_before: Number(seconds + 3600n) * 1000,
  };
  writeFileSync(place.key, key.toOpenSsh(name), { mode: 0o600 });
  writeFileSync(place.certificate, `${formatPublicLine(certificate)}\n`);
  writeFileSync(place.knownHosts, knownHosts(profile));
  writeFileSync(place.sshConfig, sshConfig(place, profile));
  writeFileSync(place.profile, JSON.stringify(profile));
  const run = (...args: readonly string[]): Promise<Result> => steno.exec(process.execPath, [bin, ...args], { env: { STENO_HOME: home } });
  return {
    name,
    home,
    config: place.sshConfig,
    env: environment,
    steno: run,
    async json<T>(...args: readonly string[]): Promise<T> {
      const { stdout, stderr } = await run(...args, '--json');
      if (stdout === '') throw new Error(`steno ${args.join(' ')}: ${stderr}`);
      return JSON.parse(stdout) as T;
    },
    ssh: (...args) => steno.exec('ssh', ['-F', place.sshConfig, ...args]),
    terminal: (...args) => steno.terminal('ssh', ['-F', place.sshConfig, ...args]),
  };
}
