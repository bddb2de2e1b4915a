/**
 * `$STENO_HOME`: what a login leaves on the user's machine, and all that later verbs need.
 *
 *     id_ed25519               the user's key, OpenSSH format, 0600; id_ecdsa where the Steno is in FIPS mode
 *     id_ed25519-cert.pub      the certificate
 *     known_hosts              `@cert-authority` lines of the SSH host CA
 *     ssh_config               hosts `steno-gateway` and `*.steno`
 *     tls.key, tls.pem         TLS key and client certificate (trust.ts)
 *     profile.json             addresses and public CA keys; no secret
 *
 * Written so that a crash leaves the old file or the new one. Tested in home.test.ts.
 */
import { chmodSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort, requireHostPort } from '#schemas/base/host-port.js';
import { gatewayPrincipal } from '#schemas/base/identity.js';

export const profileSchema = z.object({
  version: z.literal(1),
  user: z.string(),
  roles: z.array(z.string()),
  logins: z.array(z.string()),
  /** Name of the Steno; missing after logins from before gateways were recognized by it. */
  cluster: z.string().optional(),
  /** `host:port` of the SSH gateway. */
  ssh: z.string(),
  /** Base URL of the viewer. */
  web: z.url(),
  /** PEM of the viewer's CA, if it is not one of the system's. */
  web_ca: z.string().optional(),
  /** Base URL of the authority. */
  authority: z.url(),
  service_ca: z.string(),
  ssh_host_ca: z.array(z.string()),
  ssh_user_ca: z.array(z.string()),
  recording_ca: z.array(z.string()),
  x509_user_ca: z.string().default(''),
  /** ms since 1970. */
  valid_before: z.number(),
});
export type Profile = z.infer<typeof profileSchema>;

export interface Home {
  readonly dir: string;
  readonly key: string;
  readonly certificate: string;
  readonly knownHosts: string;
  readonly sshConfig: string;
  readonly profile: string;
}

export function openHome(environment: NodeJS.ProcessEnv = process.env, { fips = false }: { readonly fips?: boolean } = {}): Home {
  const dir = environment['STENO_HOME'] ?? join(homedir(), '.steno');
  // Made by the first login to a Steno in FIPS mode; others take it too.
  const key = join(dir, fips || existsSync(join(dir, 'id_ecdsa')) ? 'id_ecdsa' : 'id_ed25519');
  return {
    dir,
    key,
    certificate: `${key}-cert.pub`,
    knownHosts: join(dir, 'known_hosts'),
    sshConfig: join(dir, 'ssh_config'),
    profile: join(dir, 'profile.json'),
  };
}

/** Throws NOT_SIGNED_IN if there was no login here. */
export function readProfile(home: Home): Profile {
  let text: string;
  try {
    text = readFileSync(home.profile, 'utf8');
  } catch (cause) {
    throw new StenoError('NOT_SIGNED_IN', `no login in ${home.dir}`, { cause });
  }
  const parsed = profileSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new StenoError('NOT_SIGNED_IN', `${home.profile} is of another version`);
  return parsed.data;
}

export function createHome(home: Home): void {
  mkdirSync(home.dir, { recursive: true, mode: 0o700 });
  chmodSync(home.dir, 0o700);
}

export function writeWhole(file: string, content: string, mode: number): void {
  const temporary = `${file}.${process.pid}.new`;
  const fd = openSync(temporary, 'w', mode);
  try {
    writeSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  chmodSync(temporary, mode);
  renameSync(temporary, file);
}

/**
 * OpenSSH client configuration (ssh_config(5)): the gateway, and every node behind it as `NAME.steno`.
 *
 * `ssh` looks for a principal that only gateways have (`gatewayPrincipal`) instead of the gateway's address, because a node
 * could have that address as its name. The last block does the same where the address is typed (`ssh -J USER@HOST:PORT`,
 * `ssh -p PORT LOGIN@NODE@HOST`), at the gateway's port only: on other ports of that host other servers listen.
 */
export function sshConfig(home: Home, profile: Profile): string {
  const { host, port } = requireHostPort(profile.ssh);
  const known = profile.cluster === undefined ? [] : [`  HostKeyAlias ${gatewayPrincipal(profile.cluster)}`];
  const identity = [
    `  IdentityFile ${quote(home.key)}`,
    `  CertificateFile ${quote(home.certificate)}`,
    '  IdentitiesOnly yes',
    `  UserKnownHostsFile ${quote(home.knownHosts)}`,
    '  StrictHostKeyChecking yes',
  ];
  return [
    '# Written by `steno login`; changes are lost at the next one.',
    '# To use it everywhere, put this line at the top of ~/.ssh/config:',
    `#   Include ${home.sshConfig}`,
    'Host steno-gateway',
    `  HostName ${host}`,
    `  Port ${port}`,
    `  User ${profile.user}`,
    ...known,
    ...identity,
    '',
    'Host *.steno',
    ...way(host, port, known.length === 0 ? [`  HostKeyAlias ${host}`] : known),
    ...identity,
    '',
    ...(known.length === 0 ? [] : [`Match originalhost ${host} exec "test %p = ${port}"`, ...known, ...identity, '']),
  ].join('\n');
}

/**
 * How `ssh` gets to nodes: through one connection, for which the gateway is told the node in advance and `ssh` is handed
 * the socket. `nc -F` (OpenBSD's, as in Debian and Ubuntu) does that in 3 ms, Node in 60. A path that a shell would take
 * apart, or an installation without the helper, leaves ProxyJump, which needs nothing and costs a connection inside a connection.
 */
function way(host: string, port: number, known: readonly string[]): readonly string[] {
  const helper = helperPath();
  if (helper === undefined || ![process.execPath, helper, host].every((word) => /^[\w@+,:./ -]+$/.test(word)))
    return ['  ProxyJump steno-gateway'];
  const quick = `nc -F -X connect -x ${formatHostPort({ host, port })} %h 22 2>/dev/null`;
  const sure = `test -S /dev/fd/1 && export NODE_CHANNEL_FD=1; exec "${process.execPath}" "${helper}" ${host} ${port} %h`;
  return [
    '  # The gateway is told the node, and ssh gets the socket: one connection, where ProxyJump needs one inside another.',
    `  ProxyCommand sh -c '${quick} || { ${sure}; }'`,
    '  ProxyUseFdpass yes',
    // The gateway answers under its own name; it checks the node's.
    ...known,
  ];
}

/** Beside this file when installed; when run from the sources, the built file, if there was a build. */
function helperPath(): string | undefined {
  return ['../reach.js', '../../dist/cli/reach.js']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path));
}

/**
 * For our own files only, which hold nothing but Steno's hosts. `ssh` finds gateways by their marker (`sshConfig`). The second
 * line is for nodes, and for clients without `HostKeyAlias`, which look a gateway up by its address.
 */
export function knownHosts(profile: Profile): string {
  // To OpenSSH `*` is a host at any port; Go's knownhosts, and what reads like it, takes it for port 22 and wants others named.
  const { port } = requireHostPort(profile.ssh);
  const hosts = port === 22 ? '*' : `*,[*]:${port}`;
  const all = [...(profile.cluster === undefined ? [] : [gatewayPrincipal(profile.cluster)]), hosts];
  return all.flatMap((names) => profile.ssh_host_ca.map((line) => `@cert-authority ${names} ${line}\n`)).join('');
}

function quote(path: string): string {
  return /\s/.test(path) ? `"${path}"` : path;
}
