/** Programs that have SSH built in or start ssh: curl, rclone, sshfs, mosh. Each at Steno and at a plain sshd. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { background, must } from '../end-to-end/client-tools.js';
import type { OptionCase } from './openssh.js';
import { sha256 } from './recordings.js';
import type { Scene, Server } from './scene.js';

export interface ProgramCase extends OptionCase {
  /** Why the program cannot run on this machine, or undefined. */
  readonly missing: () => string | undefined;
  /** Shown in README.md. */
  readonly limits: string;
}

function needs(program: string): () => string | undefined {
  return () =>
    (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)))
      ? undefined
      : `${program} is not installed`;
}

/** Why the libssh2 of curl cannot log in on this machine, or undefined. */
function noCertificates(): string | undefined {
  return execFileSync('curl', ['-V'], { encoding: 'utf8' }).includes('libssh2/1.10.')
    ? 'its libssh2 1.10 presents no certificate, from a file or an agent'
    : undefined;
}

const sftp = { kind: 'sftp', tty: false, end: 'complete' };
const name = 'a näme with spaces';

async function rclone(scene: Scene, server: Server, ...args: readonly string[]): Promise<string> {
  const env = {
    RCLONE_CONFIG: '/dev/null',
    RCLONE_SFTP_HOST: server.host,
    RCLONE_SFTP_PORT: String(server.port),
    RCLONE_SFTP_USER: server.user,
    RCLONE_SFTP_KEY_FILE: server.key,
    RCLONE_SFTP_PUBKEY_FILE: `${server.key}-cert.pub`,
    RCLONE_SFTP_KNOWN_HOSTS_FILE: server.authority,
    RCLONE_SFTP_SHELL_TYPE: 'unix',
    RCLONE_SFTP_MD5SUM_COMMAND: 'md5sum',
    RCLONE_SFTP_SHA1SUM_COMMAND: 'sha1sum',
  };
  return (await must(scene.steno.exec('rclone', args, { env }))).stdout;
}

export const programCases: readonly ProgramCase[] = [
  {
    option: 'curl',
    claim: 'uploads, lists and downloads by sftp:// with an agent',
    sessions: 3,
    missing: () => needs('curl')() ?? noCertificates(),
    limits: 'skipped with libssh2 1.10 of Debian 12, which presents no certificate at a plain sshd either',
    async run(scene, server, folder) {
      const at = `sftp://${server.host}:${server.port}`;
      // The user name contains an @ at Steno, so it cannot be part of the URL. libssh2 checks the plain host key.
      mkdirSync(join(folder, '.ssh'));
      writeFileSync(join(folder, '.ssh', 'known_hosts'), readFileSync(server.hostKeys));
      const curl = (...args: readonly string[]) =>
        must(scene.steno.exec('curl', ['-sS', '-u', `${server.user}:`, ...args], { env: { HOME: folder, SSH_AUTH_SOCK: server.agent } }));
      await curl('-T', scene.bulk, `${at}${folder}/there`);
      const listed = (await curl('-l', `${at}${folder}/`)).stdout.split('\n');
      await curl('-o', join(folder, 'back'), `${at}${folder}/there`);
      return {
        listed: listed.includes('there'),
        there: sha256(readFileSync(join(folder, 'there'))),
        back: sha256(readFileSync(join(folder, 'back'))),
      };
    },
    seen(scene) {
      const digest = sha256(readFileSync(scene.bulk));
      return { listed: true, there: digest, back: digest };
    },
    record: [sftp, sftp, sftp],
  },
  {
    option: 'rclone',
    claim: 'copies a folder there, lists and checks it',
    sessions: 3,
    missing: needs('rclone'),
    limits: 'each run opens further sessions for checksums',
    async run(scene, server, folder) {
      mkdirSync(join(folder, 'from', 'sub'), { recursive: true });
      writeFileSync(join(folder, 'from', name), readFileSync(scene.sample));
      writeFileSync(join(folder, 'from', 'sub', 'two'), 'two\n');
      await rclone(scene, server, 'copy', join(folder, 'from'), `:sftp:${folder}/there`);
      const listed = (await rclone(scene, server, 'lsf', '-R', `:sftp:${folder}/there`)).trim().split('\n').sort();
      await rclone(scene, server, 'check', '--download', join(folder, 'from'), `:sftp:${folder}/there`);
      return { listed, there: sha256(readFileSync(join(folder, 'there', name))) };
    },
    seen: (scene) => ({ listed: [name, 'sub/', 'sub/two'].sort(), there: sha256(readFileSync(scene.sample)) }),
    record: [],
  },
  {
    option: 'sshfs',
    claim: 'mounts a folder of the node, in which files are written, renamed, linked and read',
    sessions: 1,
    limits: 'needs FUSE',
    missing() {
      const absent = needs('sshfs')();
      if (absent !== undefined) return absent;
      try {
        accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
        return undefined;
      } catch {
        return 'there is no /dev/fuse';
      }
    },
    async run(scene, server, folder) {
      const [there, mount] = [join(folder, 'there'), join(folder, 'mount')];
      mkdirSync(there);
      mkdirSync(mount);
      const program = background(scene.steno, 'sshfs', ['-f', ...server.options, '-o', 'debug', `${server.target}:${there}`, mount]);
      const mounted = (): boolean => readFileSync('/proc/mounts', 'utf8').includes(` ${mount} `);
      while (!mounted())
        await Promise.race([
          new Promise((resolve) => setTimeout(resolve, 50)),
          program.ended.then(() => {
            throw new Error(program.text());
          }),
        ]);
      try {
        // Only child processes may touch the mount: a file system that hangs must not hang the suite.
        const script = `cd '${mount}' && cp '${scene.sample}' 'first name' && mv 'first name' '${name}' && ln -s '${name}' link && mkdir sub && cat link | sha256sum | cut -c1-64`;
        const { stdout } = await must(scene.steno.exec('timeout', ['30', 'sh', '-c', script]));
        return { read: stdout.trim(), there: readdirSync(there).sort(), link: readlinkSync(join(there, 'link')) };
      } finally {
        await scene.steno.exec('fusermount3', ['-u', mount]);
        await program.ended;
      }
    },
    seen: (scene) => ({ read: sha256(readFileSync(scene.sample)), there: ['link', name, 'sub'].sort(), link: name }),
    record: [sftp],
  },
  {
    option: 'mosh',
    claim: 'starts its server by ssh; the rest is UDP, which Steno does not carry',
    sessions: 1,
    missing: needs('mosh-server'),
    limits: 'its UDP bypasses Steno: the only session is the start of its server',
    async run(scene, server) {
      const { status, stdout, stderr } = await scene.steno.exec('ssh', [
        ...server.options,
        '-tt',
        server.target,
        'LC_ALL=C.UTF-8 mosh-server new -i 127.0.0.1 -- true',
      ]);
      const pid = Number(/pid = (\d+)/.exec(stdout + stderr)?.[1] ?? 0);
      if (pid > 1) {
        try {
          process.kill(pid);
        } catch {
          // The program has ended by itself.
        }
      }
      return { status, connect: /MOSH CONNECT \d+ \S{22}/.test(stdout) };
    },
    seen: () => ({ status: 0, connect: true }),
    record: [{ kind: 'exec', tty: true, end: 'complete', exit: 0 }],
  },
];
