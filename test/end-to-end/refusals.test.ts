/** Refusals: certificates that do not admit, nodes that cannot be reached, strangers on every port. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { EXTENSION_ROLES, EXTENSION_USER } from '#schemas/base/identity.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import type { IssueFields } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { Ca } from '../../authority/ca/ca.js';
import { gatewayOf, must, residentBytes, sessionsOf, viewerOf } from './client-tools.js';
import type { Viewer } from './client-tools.js';
import { noise, silent, slowly, stranger } from './hostile-sockets.js';
import { Steno, eventually } from './machine.js';
import type { Result } from './machine.js';
import { startStockNode } from './stock-node.js';
import { openAuthorities } from './people.js';
import type { StockNode } from './stock-node.js';

const steno = new Steno();
const nodes: StockNode[] = [];
let gateway: Awaited<ReturnType<typeof gatewayOf>>;
let viewer: Viewer;
let ca: Ca;

const path = (name: string): string => join(steno.folder, name);
const seconds = (): bigint => BigInt(Math.floor(Date.now() / 1000));

type Change = Partial<IssueFields>;

/** A new key with a certificate like that of `steno login`, except for `change`. `sign` is the CA. */
async function identity(
  name: string,
  change: Change,
  sign: (fields: IssueFields) => Promise<Uint8Array> | Uint8Array = (fields) => ca.issueSsh('ssh-user', fields),
): Promise<string> {
  const key = generateKey();
  const certificate = await sign({
    publicKey: key.publicBlob,
    serial: 1n,
    kind: 'user',
    keyId: `user=${steno.login}`,
    principals: [steno.login, 'root'],
    validAfter: seconds() - 60n,
    validBefore: seconds() + 600n,
    criticalOptions: new Map([['gateway-only@steno', '']]),
    extensions: new Map([
      ['permit-pty', ''],
      [EXTENSION_ROLES, 'admin'],
      [EXTENSION_USER, steno.login],
    ]),
    ...change,
  });
  writeFileSync(path(name), key.toOpenSsh(name), { mode: 0o600 });
  writeFileSync(path(`${name}.pub`), `${formatPublicLine(key.publicBlob)}\n`);
  writeFileSync(path(`${name}-cert.pub`), `${formatPublicLine(certificate)}\n`);
  return path(name);
}

function ssh(key: string, ...args: readonly string[]): Promise<Result> {
  return steno.exec('ssh', [
    '-F',
    'none',
    '-i',
    key,
    ...(existsSync(`${key}-cert.pub`) ? ['-o', `CertificateFile=${key}-cert.pub`] : []),
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    'IdentityAgent=none',
    '-o',
    'BatchMode=yes',
    '-o',
    `UserKnownHostsFile=${path('home/known_hosts')}`,
    '-p',
    gateway.port,
    ...args,
  ]);
}

/** Presents any certificate, which stock `ssh` would not. Prints the gateway's messages to standard error. */
const offer = `
import base64, paramiko, sys
host, port, user, method, key_file = sys.argv[1:]
transport = paramiko.Transport((host, int(port)))
transport.start_client()
try:
    if method == 'password':
        transport.auth_password(user, 'correct horse', fallback=False)
    else:
        key = paramiko.Ed25519Key(filename=key_file)
        class Blob: pass
        key.public_blob = Blob()
        key.public_blob.key_type = 'ssh-ed25519-cert-v01@openssh.com'
        key.public_blob.key_blob = base64.b64decode(open(key_file + '-cert.pub').read().split()[1])
        transport.auth_publickey(user, key)
    transport.open_session()
    print('a channel is open')
except paramiko.SSHException as error:
    sys.stderr.write((transport.get_banner() or b'').decode())
finally:
    transport.close()
sys.exit(255)
`;
const offering = (method: 'password' | 'certificate', key: string): Promise<Result> =>
  steno.exec('/usr/bin/python3', ['-c', offer, gateway.host, gateway.port, `${steno.login}@local`, method, key]);

/** Runs `act` and returns its result and the audit rows of its refusals. */
async function refused(act: () => Promise<Result>): Promise<Result & { readonly rows: readonly AuditRow[] }> {
  const refusals = async (): Promise<readonly AuditRow[]> =>
    (await viewer.audit()).filter(({ event }) => event === 'auth.refused' || event === 'session.refused');
  const before = new Set((await refusals()).map(({ id }) => id));
  const result = await act();
  const rows = await eventually(
    async () => (await refusals()).filter(({ id }) => !before.has(id)),
    (fresh) => fresh.length > 0,
  );
  return { ...result, rows };
}

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  gateway = await gatewayOf(steno);
  viewer = viewerOf(steno);
  ca = await openAuthorities(steno);
});
afterAll(async () => {
  for (const node of nodes) await node.stop();
  await steno.dispose();
});

describe('a client that is not admitted', () => {
  const bare = async (): Promise<string> => {
    const key = await identity('bare', {});
    rmSync(`${key}-cert.pub`);
    return key;
  };
  const direct = (key: string): Promise<Result> => ssh(key, `${steno.login}@local@${gateway.host}`, 'echo admitted');
  const garbled = async (): Promise<string> => {
    const key = await identity('garbled', {});
    const { stdout } = await must(steno.exec('cat', [`${key}-cert.pub`]));
    const [type, base64] = stdout.split(' ') as [string, string];
    const blob = Buffer.from(base64, 'base64');
    writeFileSync(`${key}-cert.pub`, `${type} ${blob.subarray(0, blob.length - 7).toString('base64')}\n`);
    return key;
  };

  it('control: the unchanged certificate of these tests is admitted, so each case below is refused for its change', async () => {
    const key = await identity('good', {});
    const rows = await sessionsOf(viewer, 1, async () => expect(await direct(key)).toMatchObject({ status: 0, stdout: 'admitted\n' }));
    expect(rows).toEqual([expect.objectContaining({ kind: 'exec', node: 'local', exit_code: 0 })]);
  });

  it.each([
    [
      'an expired certificate',
      'CERT_EXPIRED',
      async () => direct(await identity('expired', { validAfter: seconds() - 600n, validBefore: seconds() - 5n })),
    ],
    [
      'one that is not valid yet',
      'CERT_NOT_YET_VALID',
      async () => direct(await identity('early', { validAfter: seconds() + 3600n, validBefore: seconds() + 7200n })),
    ],
    [
      'one of another CA',
      'CERT_UNKNOWN_CA',
      async () => direct(await identity('foreign', {}, (fields) => issueCertificate(generateKey(), fields))),
    ],
    [
      'one of the host CA of this Steno',
      'CERT_UNKNOWN_CA',
      async () => direct(await identity('crossed', {}, (fields) => ca.issueSsh('ssh-host', fields))),
    ],
    ['one for other logins', 'CERT_WRONG_PRINCIPAL', async () => direct(await identity('other', { principals: ['someone-else'] }))],
    [
      'one for another address',
      'CERT_WRONG_SOURCE',
      async () =>
        direct(
          await identity('elsewhere', {
            criticalOptions: new Map([
              ['gateway-only@steno', ''],
              ['source-address', '192.0.2.0/24'],
            ]),
          }),
        ),
    ],
    [
      'one with an option that the gateway cannot enforce',
      'CERT_UNKNOWN_OPTION',
      async () =>
        direct(
          await identity('optional', {
            criticalOptions: new Map([
              ['force-command', 'true'],
              ['gateway-only@steno', ''],
            ]),
          }),
        ),
    ],
    [
      'a host certificate',
      'CERT_WRONG_KIND',
      async () =>
        offering(
          'certificate',
          await identity('hostly', { kind: 'host', criticalOptions: new Map(), extensions: new Map() }, (fields) =>
            ca.issueSsh('ssh-host', fields),
          ),
        ),
    ],
    ['a garbled one', 'CERT_GARBLED', async () => offering('certificate', await garbled())],
    ['a bare key', 'CERT_REQUIRED', async () => direct(await bare())],
    ['a password', 'CERT_REQUIRED', async () => offering('password', '')],
  ] as const)('%s', async (_what, code, act) => {
    const sessions = (await viewer.sessions()).length;
    const { status, stdout, stderr, rows } = await refused(act);
    expect({ status, stdout }).toEqual({ status: 255, stdout: '' });
    // The reason with its code, and the fix.
    expect(stderr).toMatch(new RegExp(`steno: [a-z][^\\r\\n]+ \\[${code}\\]\\r?\\nsteno: [A-Z][^\\r\\n]+`));
    expect(rows).toEqual([
      expect.objectContaining({
        event: 'auth.refused',
        outcome: 'failure',
        code,
        source_address: '127.0.0.1',
        actor: `${steno.login}@local`,
      }),
    ]);
    expect((await viewer.sessions()).length).toBe(sessions);
  });

  it('is not admitted through a jump host either', async () => {
    const key = await identity('jumper', { principals: ['someone-else'] });
    writeFileSync(
      path('jump_config'),
      [
        `IdentityFile ${key}`,
        `CertificateFile ${key}-cert.pub`,
        'IdentitiesOnly yes',
        'IdentityAgent none',
        'BatchMode yes',
        `UserKnownHostsFile ${path('home/known_hosts')}`,
        '',
      ].join('\n'),
    );
    const { status, stderr } = await refused(() =>
      steno.exec('ssh', ['-F', path('jump_config'), '-J', `nobody@${steno.run.ssh}`, `${steno.login}@local`, 'echo admitted']),
    );
    expect(status).toBe(255);
    expect(stderr).toContain('[CERT_WRONG_PRINCIPAL]');
  });

  it('is in `steno audit` with the reason', async () => {
    const rows = await steno.json<AuditRow[]>('audit', '--event', 'auth.refused', '--outcome', 'failure');
    for (const code of [
      'CERT_EXPIRED',
      'CERT_NOT_YET_VALID',
      'CERT_UNKNOWN_CA',
      'CERT_WRONG_PRINCIPAL',
      'CERT_WRONG_SOURCE',
      'CERT_WRONG_KIND',
      'CERT_GARBLED',
      'CERT_REQUIRED',
    ]) {
      expect(rows.map((row) => row.code)).toContain(code);
    }
    const { status, stdout } = await steno.steno('audit', '--event', 'auth.', '--limit', '5');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +auth\.refused +failure /);
  });
});

describe('nodes that cannot be reached', () => {
  it.each([
    ['unknown', 'NODE_UNKNOWN', async (): Promise<string> => 'nowhere'],
    [
      'unreachable',
      'NODE_UNREACHABLE',
      async (): Promise<string> => {
        await must(steno.steno('nodes', 'add', 'gone', `127.0.0.1:${await freePort()}`));
        return 'gone';
      },
    ],
    [
      'with a host key that Steno did not certify',
      'NODE_HOST_KEY',
      async (): Promise<string> => {
        nodes.push(await startStockNode(steno, 'stranger', { certified: false }));
        return 'stranger';
      },
    ],
    [
      'with another host key than the one registered',
      'NODE_HOST_KEY',
      async (): Promise<string> => {
        nodes.push(await startStockNode(steno, 'changed', { certified: false }));
        await must(steno.exec('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path('former')]));
        await must(steno.steno('nodes', 'add', 'changed', `127.0.0.1:${nodes.at(-1)!.port}`, '--host-key', path('former.pub')));
        return 'changed';
      },
    ],
  ] as const)('%s: a clear message and exit status 255, directly and through a jump host', async (_what, code, make) => {
    const node = await make();
    const line = new RegExp(`steno: [a-z][^\\r\\n]* \\[${code}\\]`);
    // The gateway learns of the registration shortly after the command returns.
    const direct = await eventually(
      () => ssh(path('home/id_ed25519'), `${steno.login}@${node}@${gateway.host}`, 'echo reached'),
      ({ stderr }) => line.test(stderr),
    );
    expect(direct).toMatchObject({ status: 255, stdout: '' });
    const jumped = await steno.ssh(`${steno.login}@${node}.steno`, 'echo reached');
    expect(jumped).toMatchObject({ status: 255, stdout: '', stderr: expect.stringMatching(line) });
    // With a terminal, the message is on the screen.
    const shell = steno.terminal('ssh', ['-F', steno.config, `${steno.login}@${node}.steno`]);
    expect(await shell.ended).toBe(255);
    expect(shell.text()).toMatch(line);
  });

  it('are audited with their names and the reason', async () => {
    const rows = await eventually(
      () => viewerOf(steno).audit({ event: 'session.refused' }),
      (list) => list.some(({ node }) => node === 'changed'),
    );
    for (const [node, code] of [
      ['nowhere', 'NODE_UNKNOWN'],
      ['gone', 'NODE_UNREACHABLE'],
      ['stranger', 'NODE_HOST_KEY'],
      ['changed', 'NODE_HOST_KEY'],
    ]) {
      expect(rows).toContainEqual(expect.objectContaining({ node, code, outcome: 'failure', actor: steno.login, login: steno.login }));
    }
  });
});

describe('strangers on every port', () => {
  /** The time limit of each service, in ms, plus slack for a busy machine. */
  const LIMIT_MS = 20_000;
  const SLACK_MS = 8_000;
  const MEBIBYTE = 1 << 20;

  async function entries(): Promise<Readonly<Record<string, string>>> {
    const run = steno.run as unknown as Readonly<Record<'ssh' | 'web' | 'authority' | 'ingest', string>>;
    const agent = (await steno.json<NodeRecord[]>('nodes')).find(({ name }) => name === 'local')!.address;
    const plain = (url: string): string => url.replace(/^[a-z]+:\/\//, '');
    return { ssh: run.ssh, web: plain(run.web), authority: plain(run.authority), ingest: plain(run.ingest), agent };
  }
  const processes = (): [string, number][] => Object.entries(steno.run.processes);

  it('that send nothing, too little or too slowly are disconnected within 20 s, and meanwhile the gateway serves users', async () => {
    const beginnings: Readonly<Record<string, Buffer>> = {
      ssh: Buffer.from('SSH-2.0-slow\r\n'),
      agent: Buffer.from('SSH-2.0-slow\r\n'),
      web: Buffer.from('GET /api/me HTTP/1.1\r\nHost: localhost\r\nX: '),
      authority: Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]),
      ingest: Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]),
    };
    const all = Object.entries(await entries()).flatMap(([entry, address], at) => {
      const from = (kind: number): string => `127.0.${kind}.${10 + at}`;
      return [
        { who: `${entry}: silent`, ...stranger(address, from(1), silent) },
        { who: `${entry}: slow`, ...stranger(address, from(2), slowly(beginnings[entry]!)) },
        { who: `${entry}: slow from the first byte`, ...stranger(address, from(3), slowly('S')) },
        { who: `${entry}: half closed`, ...stranger(address, from(4), (socket) => socket.end(beginnings[entry]!)) },
        { who: `${entry}: a little noise`, ...stranger(address, from(6), noise(64)) },
        { who: `${entry}: much noise`, ...stranger(address, from(7), noise(65_536)) },
      ];
    });
    // As many as one address may have, and one more, which waits in silence.
    const crowd = Array.from({ length: 20 }, () => stranger(steno.run.ssh, '127.0.5.1', silent));
    await Promise.all(crowd.map(({ socket }) => new Promise((resolve) => socket.once('data', resolve))));
    const waiting = stranger(steno.run.ssh, '127.0.5.1', silent);
    let greeted = false;
    waiting.socket.once('data', () => {
      greeted = true;
    });

    const served = await steno.ssh(`${steno.login}@local.steno`, 'echo served');
    expect(served).toMatchObject({ status: 0, stdout: 'served\n' });
    expect(crowd.every(({ socket }) => !socket.destroyed)).toBe(true);
    expect(greeted).toBe(false);

    const lasted = await Promise.all(
      [...all, ...crowd.map((each) => ({ who: 'ssh: crowd', ...each }))].map(async ({ who, closed }) => ({ who, ms: await closed })),
    );
    expect(lasted.filter(({ ms }) => ms > LIMIT_MS + SLACK_MS)).toEqual([]);
    // It was served once the others were gone, or not at all.
    expect(await waiting.closed).toBeLessThan(2 * LIMIT_MS + SLACK_MS);
  }, 120_000);

  it('that send noise are disconnected at once and leak no memory', async () => {
    const addresses = await entries();
    const volley = async (times: number): Promise<void> => {
      for (let round = 0; round < times; round++) {
        await Promise.all(
          Object.values(addresses).flatMap((address, at) =>
            [64, 4096, 65_536, 300_000].map((bytes, kind) => {
              const noisy = stranger(address, `127.0.8.${1 + at * 4 + kind}`, noise(bytes));
              noisy.socket.once('connect', () => noisy.socket.end());
              return noisy.closed;
            }),
          ),
        );
      }
    };
    await volley(10);
    const before = new Map(processes().map(([name, pid]) => [name, residentBytes(pid)]));
    await volley(60);
    const grown = processes().map(([name, pid]) => ({ name, grown: residentBytes(pid) - before.get(name)! }));
    expect(grown.filter((each) => each.grown > 64 * MEBIBYTE)).toEqual([]);
    expect(await steno.ssh(`${steno.login}@local.steno`, 'echo served')).toMatchObject({ status: 0, stdout: 'served\n' });
  }, 120_000);
});
