/**
 * Real logins outside any session, in the running kernel: an sshd, su and cron that are not children of this process, which acts as the
 * node service.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLog } from '#runtime/log.js';
import type { FreeEvent } from '#runtime/uplink/free-event-rows.js';
import { KernelPrograms, explain, obstacles } from '../kernel/probes/programs.js';
import { LoginWatch } from './login-watch.js';

const missing = obstacles();
const why =
  missing.length > 0
    ? `kernel programs cannot be loaded here: ${explain(missing)}`
    : process.getuid!() === 0
      ? null
      : 'an sshd of its own needs root';
if (why !== null) console.warn(`skipped: ${why}`);
const run = promisify(execFile);
const sshdPath = '/usr/sbin/sshd';

describe.skipIf(why !== null)('logins that belong to no session', () => {
  const folder = mkdtempSync(join(tmpdir(), 'steno-bypass-'));
  const file = (name: string): string => join(folder, name);
  const events: FreeEvent[] = [];
  const waiting = new Set<() => void>();
  let programs: KernelPrograms;
  let watch: LoginWatch;
  let port = 0;

  const until = (matches: (event: FreeEvent) => boolean): Promise<FreeEvent> =>
    new Promise((resolve) => {
      const look = (): void => {
        const found = events.find(matches);
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      look();
    });
  const facts = ({ data }: FreeEvent): Record<string, unknown> => JSON.parse(data ?? '{}') as Record<string, unknown>;
  const ran = (event: FreeEvent): string => ((facts(event)['argv'] as string[] | undefined) ?? []).join(' ');
  const words = (login: string): readonly string[] => [
    ...['-F', 'none', '-i', file('key'), '-p', `${port}`, '-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${file('known')}`],
    ...['-o', 'IdentityAgent=none', `${login}@127.0.0.1`],
  ];
  const ssh = (...command: readonly string[]) => run('ssh', [...words('root'), ...command]);

  beforeAll(async () => {
    for (const name of ['key', 'host']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(name)]);
    writeFileSync(file('authorized'), readFileSync(file('key.pub')));
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    ({ port } = server.address() as AddressInfo);
    server.close();
    await once(server, 'close');
    // sshd reads the keys as the account that logs in.
    chmodSync(folder, 0o755);
    writeFileSync(
      file('config'),
      [
        ...[
          `ListenAddress 127.0.0.1:${port}`,
          `HostKey ${file('host')}`,
          `PidFile ${file('pid')}`,
          `AuthorizedKeysFile ${file('authorized')}`,
        ],
        ...['StrictModes no', 'PermitRootLogin yes', 'UsePAM no', 'Subsystem sftp internal-sftp', ''],
      ].join('\n'),
    );
    programs = KernelPrograms.open();
    watch = new LoginWatch({
      ring: programs.watchLogins(),
      tell: (event) => {
        events.push(event);
        for (const look of [...waiting]) look();
      },
      log: openLog('agent', 'silent'),
    });
    // The daemon detaches from its parent: descendants of this process count as a session's.
    execFileSync('mkdir', ['-p', '/run/sshd']);
    execFileSync(sshdPath, ['-f', file('config'), '-E', file('log')]);
  }, 60_000);
  afterAll(async () => {
    await watch.close();
    programs.close();
    if (existsSync(file('pid'))) process.kill(Number(readFileSync(file('pid'), 'utf8')));
    rmSync(folder, { recursive: true, force: true });
  });

  it('by sshd: with account, address and command, once', async () => {
    await ssh('/bin/echo', 'around-steno');
    const event = await until((one) => ran(one).includes('around-steno'));
    expect(event).toMatchObject({ kind: 'login', name: 'sshd', login: 'root', address: '127.0.0.1', user: '' });
    expect(event.port).toBeGreaterThan(0);
    expect(Math.abs(event.at! - Date.now())).toBeLessThan(60_000);
    await ssh('/bin/echo', 'another');
    await until((one) => ran(one).includes('another'));
    expect(events.filter((one) => ran(one).includes('around-steno'))).toHaveLength(1);
  });

  it('by su', async () => {
    await ssh("su nobody -s /bin/sh -c ': by-su; /bin/true'");
    const event = await until((one) => one.name === 'su' && ran(one).includes('by-su'));
    expect(event).toMatchObject({ kind: 'login', login: 'nobody', address: '', port: null });
  });

  it('by cron', async () => {
    const script = `
      mount -t tmpfs none /etc/cron.d; mount -t tmpfs none /var/spool/cron; mount -t tmpfs none /run
      mkdir /var/spool/cron/crontabs; mount --bind /dev/null /etc/crontab
      echo '@reboot root : by-cron; /bin/true' > /etc/cron.d/job
      cron -f >/dev/null 2>&1 & echo $!`;
    const { stdout } = await run('unshare', ['--mount', 'sh', '-c', script]);
    try {
      const event = await until((one) => one.name === 'cron' && ran(one).includes('by-cron'));
      expect(event).toMatchObject({ kind: 'login', login: 'root', path: '/bin/sh' });
    } finally {
      process.kill(Number(stdout));
    }
  });

  it('by sshd without a program, when it lasts: once, with its address', async () => {
    const client = spawn('ssh', ['-N', ...words('nobody')], { stdio: 'ignore' });
    const event = await until((one) => one.reason === 'no program was started');
    expect(event).toMatchObject({ kind: 'login', name: 'sshd', login: 'nobody', address: '127.0.0.1' });
    const ended = once(client, 'exit');
    client.kill();
    await ended;
    // The next look reports only the next connection.
    const next = spawn('ssh', ['-N', ...words('nobody')], { stdio: 'ignore' });
    await until((one) => one.reason === 'no program was started' && one !== event);
    next.kill();
    expect(events.filter(({ reason, port: from }) => reason !== '' && from === event.port)).toHaveLength(1);
  }, 60_000);

  it('and nothing of what belongs to a session', async () => {
    const inSession = (mark: string): Promise<void> =>
      new Promise((resolve) =>
        programs
          .begin(1, ['exec'], () => spawn('su', ['nobody', '-s', '/bin/sh', '-c', `: ${mark}; /bin/true`], { stdio: 'ignore' }))
          .once('exit', () => resolve()),
      );
    await inSession('followed');
    // A descendant of this process that is not followed: a session whose role records no kernel events.
    await run('su', ['nobody', '-s', '/bin/sh', '-c', ': not-followed; /bin/true']);
    await ssh('/bin/echo', 'after-these');
    await until((one) => ran(one).includes('after-these'));
    expect(events.filter((one) => /followed/.test(ran(one)))).toEqual([]);
  });
});
