/**
 * Terminal modes from end to end: a real `ssh` on a terminal with unusual settings, `stty -a` on the node. Every path through
 * Steno must give the same result as a plain sshd.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import { gatewayOf, must, puttyKey, sessionsOf, viewerOf } from './client-tools.js';
import { Steno } from './machine.js';
import { sshdPath, startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';

const steno = new Steno();
let stock: StockNode;
let peer: { readonly args: readonly string[]; stop(): Promise<void> };
const path = (...names: readonly string[]): string => join(steno.folder, ...names);

/** An sshd without Steno, with a key of its own. */
async function startPeer(): Promise<typeof peer> {
  const folder = path('peer');
  mkdirSync(folder);
  mkdirSync('/run/sshd', { recursive: true });
  for (const key of ['host', 'user']) await must(steno.exec('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, key)]));
  const port = await freePort();
  writeFileSync(
    join(folder, 'sshd_config'),
    `ListenAddress 127.0.0.1:${port}\nHostKey ${join(folder, 'host')}\nAuthorizedKeysFile ${join(folder, 'user.pub')}\nStrictModes no\nPermitRootLogin yes\nUsePAM no\nPidFile none\nPrintMotd no\nSubsystem sftp internal-sftp\n`,
  );
  writeFileSync(join(folder, 'known_hosts'), `[127.0.0.1]:${port} ${readFileSync(join(folder, 'host.pub'), 'utf8')}`);
  const child = spawn(sshdPath, ['-D', '-e', '-f', join(folder, 'sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  await new Promise<void>((resolve) =>
    child.stderr.on('data', (chunk: Buffer) => {
      if (chunk.includes('Server listening')) resolve();
    }),
  );
  return {
    args: [
      '-F',
      'none',
      '-i',
      join(folder, 'user'),
      '-o',
      `UserKnownHostsFile=${join(folder, 'known_hosts')}`,
      '-p',
      String(port),
      `${steno.login}@127.0.0.1`,
    ],
    async stop() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  [stock, peer] = await Promise.all([startStockNode(steno, 'stock'), startPeer()]);
  const home = path('home');
  writeFileSync(
    path('by_hand'),
    `IdentityFile ${home}/id_ed25519\nCertificateFile ${home}/id_ed25519-cert.pub\nIdentitiesOnly yes\nUserKnownHostsFile ${home}/known_hosts\nLogLevel ERROR\n`,
  );
});
afterAll(async () => {
  await Promise.all([stock?.stop(), peer?.stop()]);
  await steno.dispose();
});

const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ');

/** The output of `stty -a` on the node, for an `ssh` on a terminal set with `stty`. */
async function far(set: readonly string[], command: readonly string[]): Promise<readonly string[]> {
  const terminal = steno.terminal(
    'sh',
    [
      '-c',
      `${set.length === 0 ? '' : `stty ${quoted(set)}; `}exec ${quoted([...command, 'stty -a; echo; stty speed; echo end-of-modes'])}`,
    ],
    { cols: 132, rows: 30 },
  );
  const text = await terminal.until(/end-of-modes/);
  await terminal.ended;
  return /speed (?:\d+) baud[^]*(?=end-of-modes)/
    .exec(text)![0]
    .replace(/\s+/g, ' ')
    .split(/[; ] */)
    .filter((word) => word !== '');
}

const settings: readonly (readonly [string, readonly string[]])[] = [
  ['with default settings', []],
  ['with other characters', ['erase', '^H', 'intr', '^X', 'susp', 'undef', 'werase', '^T']],
  ['with inverted flags', ['-ixon', 'ixany', '-echoctl', '-echoke', 'iutf8', '-imaxbel', 'tostop']],
  ['without utf-8, slower', ['-iutf8', 'ospeed', '9600', 'ispeed', '9600', '-iexten']],
];

describe.each(settings)('a terminal %s', (_claim, set) => {
  const ways = (): readonly (readonly [string, readonly string[]])[] =>
    ['local', 'stock'].flatMap(
      (node) =>
        [
          [`${node}, by the generated configuration`, ['ssh', '-tt', '-F', steno.config, `${steno.login}@${node}.steno`]],
          [`${node}, by -J`, ['ssh', '-tt', '-F', path('by_hand'), '-J', `${steno.login}@${steno.run.ssh}`, `${steno.login}@${node}`]],
          [`${node}, by login@node@gateway`, ['ssh', '-tt', '-F', steno.config, `${steno.login}@${node}@steno-gateway`]],
        ] as const,
    );

  it('has the same modes on the node as behind a plain sshd', async () => {
    const expected = await far(set, ['ssh', '-tt', ...peer.args]);
    if (set.includes('^X')) expect(expected.join(' ')).toContain('intr = ^X');
    for (const [way, command] of ways()) expect([way, await far(set, command)]).toEqual([way, expected]);
  });
});

it('PuTTY’s modes arrive the same on both kinds of node', async () => {
  const gateway = await gatewayOf(steno);
  const key = await puttyKey(steno);
  const plink = (node: string): readonly string[] => [
    'plink',
    ...key,
    '-t',
    '-hostkey',
    gateway.fingerprint,
    '-P',
    gateway.port,
    '-l',
    `${steno.login}@${node}`,
    gateway.host,
  ];
  const set = ['erase', '^H', 'intr', '^X', '-ixon'];
  const [agent, openssh] = [await far(set, plink('local')), await far(set, plink('stock'))];
  expect(agent).toEqual(openssh);
  expect(agent.join(' ')).toContain('intr = ^X');
  expect(agent.join(' ')).toContain('erase = ^H');
});

describe('a subsystem with a terminal', () => {
  it.each(['local', 'stock'])('is refused on node %s with a message, and nothing runs', async (node) => {
    const terminal = steno.terminal('ssh', ['-tt', '-F', steno.config, '-s', `${steno.login}@${node}.steno`, 'sftp']);
    expect(await terminal.ended).not.toBe(0);
    expect(terminal.text()).toContain('SUBSYSTEM_TERMINAL');
    const viewer = viewerOf(steno);
    const [next] = await sessionsOf(viewer, 1, async () => void (await must(steno.ssh(`${steno.login}@${node}.steno`, 'true'))));
    expect(next).toMatchObject({ kind: 'exec' });
    expect((await viewer.sessions()).some(({ kind, tty }) => kind === 'sftp' && tty)).toBe(false);
  });
});
