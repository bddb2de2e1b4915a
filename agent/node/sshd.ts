/**
 * Configures this machine's sshd as a node, keeps its files fresh, and undoes the configuration.
 *
 *     DIR/sshd/user_ca.pub        the user CAs, for TrustedUserCAKeys; read by sshd at each login. They are accepted for
 *                                 `LOGIN@NODE` only (AuthorizedPrincipalsCommand): a certificate for another node is refused
 *     DIR/sshd/host-cert.pub      the certificate of its host key, for HostCertificate; read when sshd (re)loads
 *     DIR/sshd/configured.json    the changes made by `configure`, for `undo` and for reloads
 *     CONFIG.d/steno.conf         the drop-in, beside the configuration
 *
 * Order of `configure`: files, drop-in, `sshd -t`, a check with `sshd -T` that the settings are in force (the first one
 * counts in sshd_config), reload. On failure the drop-in is removed before the error is reported. Existing files are never
 * changed, so `undo` restores the exact previous state. Tested in test/agent/sshd.test.ts with a real sshd.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, unwatchFile, watchFile, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import type { Log } from '#runtime/log.js';

const MARK = '# Written by `steno agent configure-sshd`, which takes it back with --undo.';
const LIMIT_MS = 20_000;
const LOOK_MS = 5_000;
const echoPaths = ['/bin/echo', '/usr/bin/echo'];
const sshdPaths = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/sbin/sshd'];

/** `node_principals`: missing in versions whose drop-in did not name the node. */
const configuredSchema = z.strictObject({
  config: z.string(),
  drop_in: z.string(),
  made_folder: z.boolean(),
  node_principals: z.literal(true).optional(),
});
type Configured = z.infer<typeof configuredSchema>;

export interface SshdFiles {
  /** Public key lines. */
  readonly userCas: readonly string[];
  readonly hostCertificate: string;
}

/** Writes the changed files; a changed host certificate makes a configured sshd reload. */
export function refreshSshd(dataDir: string, { userCas, hostCertificate }: SshdFiles, log: Log): void {
  const folder = join(dataDir, 'sshd');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  put(join(folder, 'user_ca.pub'), userCas.map((line) => `${line}\n`).join(''));
  if (!put(join(folder, 'host-cert.pub'), `${hostCertificate}\n`)) return;
  const configured = readConfigured(dataDir);
  if (configured === null) return;
  try {
    check(configured.config);
    reload(configured.config);
    log.info({ config: configured.config }, 'sshd has loaded its new host certificate');
  } catch (error) {
    log.error({ err: error }, 'sshd could not be reloaded');
  }
}

export interface ConfigureResult {
  readonly drop_in: string;
  /** Whether a running sshd was reloaded; false if none was found. */
  readonly reloaded: boolean;
}

/** Whether the drop-in is installed that restricts certificates to this node. */
export function takesNodePrincipals(dataDir: string): boolean {
  return readConfigured(dataDir)?.node_principals === true;
}

/** Calls back when `configureSshd` or `undoSshd` may have run; returns a function that stops this. */
export function watchConfigured(dataDir: string, changed: () => void): () => void {
  const path = join(dataDir, 'sshd', 'configured.json');
  watchFile(path, { interval: LOOK_MS, persistent: false }, changed);
  return () => unwatchFile(path, changed);
}

/** Throws AGENT_NOT_JOINED until the agent has been up once, and SSHD_CONFIG. */
export function configureSshd(dataDir: string, config: string): ConfigureResult {
  const [userCa, hostCertificate] = ['user_ca.pub', 'host-cert.pub'].map((name) => join(dataDir, 'sshd', name)) as [string, string];
  if (!existsSync(userCa) || !existsSync(hostCertificate))
    throw new StenoError('AGENT_NOT_JOINED', `start \`steno agent --ssh openssh\` first; it keeps ${join(dataDir, 'sshd')} up to date`);
  const folder = `${config}.d`;
  const dropIn = join(folder, 'steno.conf');
  if (existsSync(dropIn) && !readFileSync(dropIn, 'utf8').startsWith(MARK))
    throw new StenoError('SSHD_CONFIG', `${dropIn} exists and was not written by Steno`);
  const madeFolder = !existsSync(folder) || readConfigured(dataDir)?.made_folder === true;
  // Prints the only principal accepted here, for whichever login is requested.
  const principals = `${echoPath()} %u@${nodeName(dataDir)}`;
  const text = `${MARK}\n# Certificates of Steno's gateways for this node open sessions; \`steno agent\` keeps both files fresh.\nTrustedUserCAKeys ${quote(userCa)}\nHostCertificate ${quote(hostCertificate)}\nAuthorizedPrincipalsCommand ${principals}\nAuthorizedPrincipalsCommandUser nobody\n`;
  const before = existsSync(dropIn) ? readFileSync(dropIn, 'utf8') : undefined;
  const takeBack = (): void => {
    if (before !== undefined) return writeFileSync(dropIn, before);
    rmSync(dropIn, { force: true });
    if (madeFolder) rmdirSync(folder);
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${dropIn}.new`, text, { mode: 0o644, flush: true });
  renameSync(`${dropIn}.new`, dropIn);
  try {
    const effective = check(config);
    // Compared in the form printed by sshd: a path with blanks has no quotes.
    for (const [key, path] of [
      ['trustedusercakeys', userCa],
      ['hostcertificate', hostCertificate],
      ['authorizedprincipalscommand', principals],
    ] as const) {
      if (!effective.some((line) => line === `${key} ${path}`)) {
        throw new StenoError(
          'SSHD_CONFIG',
          effective.some((line) => line.startsWith(`${key} `) && !line.endsWith(' none'))
            ? `${config} sets ${key} itself, before the drop-in is read`
            : `${config} does not include ${folder}/*.conf; put "Include ${folder}/*.conf" at its top`,
        );
      }
    }
  } catch (error) {
    takeBack();
    throw error;
  }
  put(
    join(dataDir, 'sshd', 'configured.json'),
    JSON.stringify({ config, drop_in: dropIn, made_folder: madeFolder, node_principals: true } satisfies Configured),
  );
  return { drop_in: dropIn, reloaded: reload(config) };
}

/** Restores the state before `configureSshd`. Throws SSHD_CONFIG. */
export function undoSshd(dataDir: string): ConfigureResult {
  const configured = readConfigured(dataDir);
  if (configured === null) throw new StenoError('SSHD_CONFIG', 'there is nothing to undo');
  const { config, drop_in: dropIn, made_folder: madeFolder } = configured;
  if (existsSync(dropIn) && !readFileSync(dropIn, 'utf8').startsWith(MARK))
    throw new StenoError('SSHD_CONFIG', `${dropIn} was replaced by another file; remove it yourself`);
  rmSync(dropIn, { force: true });
  if (madeFolder) {
    try {
      rmdirSync(dirname(dropIn));
    } catch {
      // Another file has been put there since.
    }
  }
  rmSync(join(dataDir, 'sshd', 'configured.json'), { force: true });
  check(config);
  return { drop_in: dropIn, reloaded: reload(config) };
}

/** The private half of the host key that this sshd presents and Steno can certify; Ed25519 before ECDSA before RSA. */
export function sshdHostKey(config: string): string {
  const keys = check(config)
    .flatMap((line) => (line.startsWith('hostkey ') ? [line.slice('hostkey '.length)] : []))
    .filter((path) => existsSync(path));
  const found =
    ['ed25519', 'ecdsa', 'rsa'].map((kind) => keys.find((path) => path.includes(kind))).find((path) => path !== undefined) ?? keys[0];
  if (found === undefined) throw new StenoError('SSHD_CONFIG', `${config} names no existing host key`);
  return found;
}

/** The effective configuration, one setting per line, with lower-case keys. Throws SSHD_CONFIG with sshd's message. */
function check(config: string): readonly string[] {
  try {
    execFileSync(sshd(), ['-t', '-f', config], { stdio: 'pipe', timeout: LIMIT_MS });
    return execFileSync(sshd(), ['-T', '-f', config], { stdio: 'pipe', timeout: LIMIT_MS, encoding: 'utf8' }).split('\n');
  } catch (cause) {
    const said = (cause as { stderr?: { toString(): string } }).stderr?.toString().trim().slice(0, 512);
    throw new StenoError('SSHD_CONFIG', said === undefined || said === '' ? 'sshd does not answer' : said, { cause });
  }
}

/** Sends SIGHUP to the running server of this configuration; otherwise reloads systemd's unit. False: none is running. */
function reload(config: string): boolean {
  const pidFile = check(config)
    .find((line) => line.startsWith('pidfile '))
    ?.slice('pidfile '.length);
  const pid = pidFile === undefined || !existsSync(pidFile) ? Number.NaN : Number(readFileSync(pidFile, 'utf8').trim());
  if (Number.isInteger(pid) && pid > 1 && isSshd(pid)) {
    process.kill(pid, 'SIGHUP');
    return true;
  }
  if (config !== '/etc/ssh/sshd_config' || !existsSync('/run/systemd/system')) return false;
  execFile('sh', ['-c', 'systemctl reload ssh.service || systemctl reload sshd.service'], { timeout: LIMIT_MS }, () => undefined);
  return true;
}

function isSshd(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'sshd';
  } catch {
    return false;
  }
}

function readConfigured(dataDir: string): Configured | null {
  try {
    return configuredSchema.parse(JSON.parse(readFileSync(join(dataDir, 'sshd', 'configured.json'), 'utf8')));
  } catch {
    return null;
  }
}

/** The name under which this machine joined. */
function nodeName(dataDir: string): string {
  try {
    return z.object({ name: z.string().refine(isName) }).parse(JSON.parse(readFileSync(join(dataDir, 'agent.json'), 'utf8'))).name;
  } catch (cause) {
    throw new StenoError('AGENT_NOT_JOINED', dataDir, { cause });
  }
}

function echoPath(): string {
  const path = echoPaths.find((one) => existsSync(one));
  if (path === undefined)
    throw new StenoError('SSHD_CONFIG', `this machine has none of ${echoPaths.join(', ')}, which prints the principal to accept`);
  return path;
}

function sshd(): string {
  const path = sshdPaths.find((one) => existsSync(one));
  if (path === undefined) throw new StenoError('SSHD_CONFIG', 'this machine has no sshd');
  return path;
}

/** Returns whether the file changed. */
function put(path: string, text: string): boolean {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return false;
  writeFileSync(`${path}.new`, text, { mode: 0o644, flush: true });
  renameSync(`${path}.new`, path);
  return true;
}

function quote(path: string): string {
  return /\s/.test(path) ? `"${path}"` : path;
}
