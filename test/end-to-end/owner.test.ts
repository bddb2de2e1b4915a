/** The account that owns this Steno: who may log in to it, and what the owner's socket refuses from inside a session. */
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessExplanation } from '#schemas/api/access/roles.js';
import { EXTENSION_ADMINISTRATOR, EXTENSION_VIA, nodePrincipal } from '#schemas/base/identity.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';
import { TestAccount } from './test-account.js';

const steno = new Steno();
const account = new TestAccount();
let eve: Person;
const login = `${process.execPath} ${bin} login --data ${steno.data} --no-agent`;
/** `steno login` inside a session of the owner, with a home of its own. */
const inside = (words: string): Promise<{ status: number; stdout: string; stderr: string }> =>
  steno.ssh(
    `${steno.login}@local.steno`,
    `STENO_HOME=${join(steno.folder, 'stolen')} HOME=${steno.folder}; export STENO_HOME HOME; ${words}`,
  );

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  // All logins everywhere, including root, and some administration, but not all of it.
  writeFileSync(
    join(steno.folder, 'role.yaml'),
    'kind: role\nname: everywhere\nallow:\n  nodes: {"*": "*"}\n  logins: ["*", root]\n  rules: [{resources: [node], verbs: ["*"]}]\n',
  );
  await must(steno.steno('apply', '-f', join(steno.folder, 'role.yaml')));
  eve = await person(steno, await openAuthorities(steno), 'eve', ['everywhere'], ['root', '*']);
}, 60_000);
afterAll(async () => {
  await steno.dispose();
  account.remove();
});

describe('a user who does not administer everything', () => {
  it('is refused the accounts that own Steno, although roles allow every login', async () => {
    for (const account of new Set([steno.login, 'root'])) {
      expect(await eve.ssh(`${account}@local.steno`, 'true')).toMatchObject({
        status: 255,
        stderr: expect.stringMatching(new RegExp(`login ${account} of node local owns this Steno.*\\[ACCESS_DENIED\\]`)),
      });
    }
  });

  it('may use the other accounts of the machine, which can reach neither the socket nor the keys', async () => {
    const { status, stdout, stderr } = await eve.ssh(
      `${account.name}@local.steno`,
      `id -un; cat ${steno.data}/authority/seal.key; HOME=/tmp STENO_HOME=/tmp/eve-${process.pid} ${login}`,
    );
    expect(stdout).toBe(`${account.name}\n`);
    expect(stderr).toMatch(/denied/i);
    expect(status).not.toBe(0);
  });

  it('gets the reason from `steno access check`', async () => {
    await must(steno.steno('users', 'add', 'eve', '--roles', 'everywhere'));
    const { stdout, status } = await steno.steno('access', 'check', 'eve', 'local', 'root', '--json');
    expect(status).toBe(77);
    expect(JSON.parse(stdout) as AccessExplanation).toMatchObject({
      allowed: false,
      reason: expect.stringContaining('owns this Steno'),
      others: [],
    });
  });

  it('is also refused by the node service, by the uid of the account, even with a certificate', async () => {
    const ca = await openAuthorities(steno);
    const [node] = await steno.json<{ name: string; address: string }[]>('nodes');
    const address = node!.address;
    const key = generateKey();
    writeFileSync(join(steno.folder, 'direct'), key.toOpenSsh(), { mode: 0o600 });
    const ask = async (marks: readonly (readonly [string, string])[]): Promise<number> => {
      const now = BigInt(Math.floor(Date.now() / 1000));
      const certificate = await ca.issueSsh('ssh-user', {
        publicKey: key.publicBlob,
        serial: now,
        kind: 'user',
        keyId: 'x',
        principals: [nodePrincipal(steno.login, node!.name)],
        validAfter: now - 60n,
        validBefore: now + 300n,
        criticalOptions: new Map(),
        extensions: new Map([[EXTENSION_VIA, 'eve'], ...marks]),
      });
      writeFileSync(join(steno.folder, 'direct-cert.pub'), formatPublicLine(certificate));
      const { status } = await steno.exec('ssh', [
        '-F',
        '/dev/null',
        '-i',
        join(steno.folder, 'direct'),
        '-o',
        `CertificateFile=${join(steno.folder, 'direct-cert.pub')}`,
        '-o',
        'IdentitiesOnly=yes',
        '-o',
        'BatchMode=yes',
        '-o',
        'StrictHostKeyChecking=no',
        '-o',
        'UserKnownHostsFile=/dev/null',
        '-p',
        address.split(':')[1]!,
        `${steno.login}@127.0.0.1`,
        'exit 7',
      ]);
      return status;
    };
    expect(await ask([])).toBe(255);
    expect(await ask([[EXTENSION_ADMINISTRATOR, '']])).toBe(7);
  });
});

describe('an administrator', () => {
  it('is told at start-up who may log in as the owner, and may log in', async () => {
    expect(steno.printed).toMatch(new RegExp(`Owner +${steno.login}: only administrators of Steno log in as .* on local`));
    expect((await must(steno.ssh(`${steno.login}@local.steno`, 'id -un'))).stdout).toBe(`${steno.login}\n`);
  });

  it('gets no certificate from the owner’s socket inside a session or from a process that left it', async () => {
    expect(await inside(login)).toMatchObject({ status: 77, stderr: expect.stringContaining('[SOCKET_IN_SESSION]') });
    expect(await inside(`${login} --web`)).toMatchObject({ status: 77 });
    // A daemon, with a process session of its own and no living parents.
    const log = join(steno.folder, 'daemon.log');
    await must(inside(`setsid sh -c '(${login} >${log} 2>&1; echo status $? >>${log}) &' </dev/null >/dev/null 2>&1`));
    await eventually(
      async () => (existsSync(log) ? execFileSync('cat', [log], { encoding: 'utf8' }) : ''),
      (text) => /status 77/.test(text),
    );
    expect(execFileSync('cat', [log], { encoding: 'utf8' })).toContain('[SOCKET_IN_SESSION]');
    expect(existsSync(join(steno.folder, 'stolen', 'id_ed25519-cert.pub'))).toBe(false);
  });

  it('gets a certificate outside a session, and the refusals are audited', async () => {
    await must(steno.steno('login', '--data', steno.data));
    const rows = await eventually(
      () => viewerOf(steno).audit(),
      (all) => all.some(({ event, code }) => event === 'user.login' && code === 'SOCKET_IN_SESSION'),
    );
    expect(rows.filter(({ code }) => code === 'SOCKET_IN_SESSION').length).toBeGreaterThanOrEqual(2);
  });
});

/** Whether an unprivileged account can run this checkout. */
const readable =
  process.getuid!() === 0 &&
  (() => {
    try {
      execFileSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, bin, '--version'], {
        env: { PATH: process.env['PATH'], HOME: '/tmp' },
        stdio: 'pipe',
      });
      return true;
    } catch {
      return false;
    }
  })();

describe.skipIf(!readable)('a Steno that does not run as root', () => {
  const theirs = new Steno();
  let mallory: Person;
  beforeAll(async () => {
    mkdirSync(theirs.data);
    for (const path of [theirs.folder, theirs.data]) chownSync(path, 65_534, 65_534);
    await theirs.startAs(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']);
    const by = await theirs.exec('setpriv', [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      process.execPath,
      bin,
      'login',
      '--data',
      theirs.data,
    ]);
    if (by.status !== 0) throw new Error(by.stderr);
    writeFileSync(join(theirs.folder, 'role.yaml'), 'kind: role\nname: everyone\nallow:\n  nodes: {"*": "*"}\n  logins: ["*"]\n');
    await must(theirs.steno('apply', '-f', join(theirs.folder, 'role.yaml')));
    mallory = await person(theirs, await openAuthorities(theirs), 'mallory', ['everyone'], ['*']);
  }, 60_000);
  afterAll(() => theirs.dispose());

  it('refuses its own account to a user with every login, and says so at start-up', async () => {
    expect(await mallory.ssh('nobody@local.steno', `${process.execPath} ${bin} login --data ${theirs.data}`)).toMatchObject({
      status: 255,
      stderr: expect.stringContaining('login nobody of node local owns this Steno'),
    });
    expect(theirs.printed).toContain('only administrators of Steno log in as nobody or root on local');
  });
});
