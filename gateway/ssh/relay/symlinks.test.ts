/**
 * Symlinks by SFTP. The draft and OpenSSH's server disagree on which argument of SSH_FXP_SYMLINK comes first; clients that know this
 * decide by the server's identification line. Each client makes a link through the gateway to a stock sshd; the link on disk must be
 * the intended one, and the recording must say the same.
 */
import { execFileSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FileFact } from '#schemas/recording/line.js';
import { certificateAuth } from '#runtime/ssh/certified-key.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { parsePrivateKeyFile } from '#runtime/ssh/private-key-file.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { SERVER_IDENT } from '../transport/transport.js';
import { openWorld } from '../../testing/harness.js';
import type { Finished, World } from '../../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const python = '/usr/bin/python3';
const imports = (module: string): boolean => {
  try {
    execFileSync(python, ['-W', 'ignore', '-c', `import ${module}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** `$LINK`, `$TARGET`, `$PORT` and `$KEY` (with its certificate beside it) are in the environment. */
const byPython: Readonly<Record<string, string>> = {
  asyncssh: `
import asyncssh, asyncio, os
async def main():
    async with asyncssh.connect('127.0.0.1', int(os.environ['PORT']), username='root@node-1', known_hosts=None, client_keys=[(os.environ['KEY'], os.environ['KEY'] + '-cert.pub')]) as c:
        async with c.start_sftp_client() as s:
            await s.symlink(os.environ['TARGET'], os.environ['LINK'])
asyncio.run(main())`,
  paramiko: `
import paramiko, os
t = paramiko.Transport(('127.0.0.1', int(os.environ['PORT']))); t.start_client()
key = paramiko.Ed25519Key(filename=os.environ['KEY']); key.load_certificate(os.environ['KEY'] + '-cert.pub')
t.auth_publickey('root@node-1', key)
paramiko.SFTPClient.from_transport(t).symlink(os.environ['TARGET'], os.environ['LINK'])
t.close()`,
};

const byLibssh = `
#include <libssh/libssh.h>
#include <libssh/sftp.h>
#include <stdio.h>
#include <stdlib.h>
#define CHECK(ok) if (!(ok)) { fprintf(stderr, "line %d: %s\\n", __LINE__, ssh_get_error(s)); return 1; }
int main(void) {
  ssh_session s = ssh_new();
  ssh_key key, cert;
  char path[4096];
  int no = 0;
  snprintf(path, sizeof path, "%s-cert.pub", getenv("KEY"));
  ssh_options_set(s, SSH_OPTIONS_HOST, "127.0.0.1");
  ssh_options_set(s, SSH_OPTIONS_PORT_STR, getenv("PORT"));
  ssh_options_set(s, SSH_OPTIONS_USER, "root@node-1");
  ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no);
  CHECK(ssh_connect(s) == SSH_OK);
  CHECK(ssh_pki_import_privkey_file(getenv("KEY"), NULL, NULL, NULL, &key) == SSH_OK);
  CHECK(ssh_pki_import_cert_file(path, &cert) == SSH_OK);
  CHECK(ssh_pki_copy_cert_to_privkey(cert, key) == SSH_OK);
  CHECK(ssh_userauth_try_publickey(s, NULL, cert) == SSH_AUTH_SUCCESS);
  CHECK(ssh_userauth_publickey(s, NULL, key) == SSH_AUTH_SUCCESS);
  sftp_session f = sftp_new(s);
  CHECK(f != NULL && sftp_init(f) == SSH_OK);
  CHECK(sftp_symlink(f, getenv("TARGET"), getenv("LINK")) == SSH_OK);
  sftp_free(f);
  ssh_disconnect(s);
  return 0;
}`;

async function bySsh2(link: string, target: string): Promise<void> {
  const key = join(world.directory, 'alice');
  const pem = createPrivateKey({ key: parsePrivateKeyFile(readFileSync(key, 'utf8')), format: 'jwk' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
  const certificate = Buffer.from(parseAuthorizedLine(readFileSync(`${key}-cert.pub`, 'utf8')).blob);
  const client = new ssh2.Client();
  client.connect({
    host: '127.0.0.1',
    port: world.port,
    username: 'root@node-1',
    authHandler: certificateAuth('root@node-1', loadPrivateKey(pem), certificate),
  });
  await once(client, 'ready');
  const sftp = await new Promise<SFTPWrapper>((resolve, reject) =>
    client.sftp((error, opened) => (error === undefined ? resolve(opened) : reject(error))),
  );
  await new Promise<void>((resolve, reject) => sftp.symlink(target, link, (error) => (error == null ? resolve() : reject(error))));
  client.end();
  await once(client, 'close');
}

describe('a symlink made by', () => {
  const made = async (name: string, make: (link: string, target: string) => Promise<Finished | void>): Promise<void> => {
    const [link, target] = [join(world.directory, `link-by-${name}`), `target of ${name}`];
    const before = world.recorder.recordings().length;
    const finished = await make(link, target);
    if (finished !== undefined) expect(finished, finished.stderr).toMatchObject({ status: 0 });
    expect(readlinkSync(link)).toBe(target);
    while (world.recorder.live.size > 0) await new Promise(setImmediate);
    const facts = world.recorder
      .recordings()
      .slice(before)
      .flatMap((recording) => recording.facts('file') as unknown as readonly FileFact[]);
    expect(facts.filter(({ operation }) => operation === 'symlink')).toEqual([
      { fact: 'file', protocol: 'sftp', operation: 'symlink', path: link, target, outcome: 'success' },
    ]);
  };
  const variables = (link: string, target: string): Record<string, string> => ({
    LINK: link,
    TARGET: target,
    PORT: String(world.port),
    KEY: join(world.directory, 'alice'),
  });

  it("OpenSSH's sftp", () =>
    made('openssh', (link, target) =>
      world.run('sftp', ['-F', world.sshConfig, '-b', '-', 'root@node-1'], { input: `symlink "${target}" ${link}\n` }),
    ));

  it('ssh2', () => made('ssh2', bySsh2));

  it.for(Object.keys(byPython))('%s', async (name, { skip }) => {
    skip(!imports(name), `Debian's package python3-${name} is missing`);
    await made(name, async (link, target) => {
      const script = join(world.directory, `by-${name}.py`);
      writeFileSync(script, byPython[name]!);
      // asyncssh reads no certificate with critical options that it does not know.
      const KEY = world.userKey('plain', { criticalOptions: new Map() });
      return world.run(python, ['-W', 'ignore', script], { env: { ...variables(link, target), KEY } });
    });
  });

  it('libssh', async ({ skip }) => {
    skip(!existsSync('/usr/include/libssh/libssh.h'), "Debian's package libssh-dev is missing");
    await made('libssh', async (link, target) => {
      const source = join(world.directory, 'symlink.c');
      writeFileSync(source, byLibssh);
      const compiled = await world.run('cc', ['-o', join(world.directory, 'symlink'), source, '-lssh']);
      expect(compiled).toMatchObject({ status: 0, stderr: '' });
      return world.run(join(world.directory, 'symlink'), [], { env: variables(link, target) });
    });
  });
});

/**
 * Conclusions that clients draw from the identification line besides the order of arguments, as their sources test it: the quirks of
 * old OpenSSH versions would turn off certificates or signature algorithms. libssh before 0.11 reads one digit before the dot.
 */
it('has a version in its identification line that every client can read and none takes for an old one', () => {
  const quirks: readonly RegExp[] = [
    // OpenSSH compat.c; ssh2 constants.js; JSch Session.java; PuTTY verstring.c; paramiko auth_handler.py.
    /^OpenSSH_[2-6]\./,
    /^OpenSSH_7\.[0-7]/,
    /OpenSSH_(?:[1-6]|7\.[0-7])/,
    /^OpenSSH_[0-4]/,
  ];
  expect(quirks.filter((quirk) => quirk.test(SERVER_IDENT))).toEqual([]);
  expect(SERVER_IDENT).toMatch(/^OpenSSH_\d\.\d [!-~]+$/);
});
