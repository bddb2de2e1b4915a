/** A login by the node's own sshd, past Steno, is an event and a finding; a session through Steno is neither. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { freePort } from '#runtime/http/free-port.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { sshdPath } from '../end-to-end/stock-node.js';

interface Finding {
  readonly rule: string;
  readonly session: string;
  readonly node: string;
  readonly login: string;
  readonly reason: string;
  readonly severity: string;
}

const missing = obstacles();
const why =
  missing.length > 0
    ? `kernel events cannot be recorded here: ${explain(missing)}`
    : process.getuid!() === 0
      ? null
      : 'an sshd of its own needs root';
if (why !== null) console.log(`skipped: ${why}`);

describe.skipIf(why !== null)('a login that bypasses Steno', () => {
  const steno = new Steno();
  steno.watchLogins = true;
  const mark = `mark${process.pid}`;
  // The agent sees the logins of everything that runs on this machine, and logins of an account from one address are one finding a
  // day. Nothing else comes from this address, or becomes this user.
  const address = `127.${[process.pid >> 16, process.pid >> 8, process.pid].map((n) => n & 255).join('.')}`;
  const becomes = 'news';
  const file = (name: string): string => join(steno.folder, name);
  let port = 0;
  const around = (command: string) =>
    steno.exec('ssh', [
      ...['-F', 'none', '-i', file('key'), '-p', `${port}`, '-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${file('known')}`],
      ...['-o', 'IdentityAgent=none', '-o', `BindAddress=${address}`, 'root@127.0.0.1', command],
    ]);
  const told = async (): Promise<readonly Finding[]> => {
    const all = await steno.json<Finding[]>('findings', 'ls', '--signals').catch(() => []);
    return all.filter(({ rule }) => rule.endsWith('-beside-steno'));
  };

  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
    for (const name of ['key', 'host']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(name)]);
    port = await freePort();
    mkdirSync('/run/sshd', { recursive: true });
    writeFileSync(
      file('sshd_config'),
      [
        ...[
          `ListenAddress 127.0.0.1:${port}`,
          `HostKey ${file('host')}`,
          `PidFile ${file('sshd.pid')}`,
          `AuthorizedKeysFile ${file('key.pub')}`,
        ],
        ...['StrictModes no', 'PermitRootLogin yes', 'UsePAM no', ''],
      ].join('\n'),
    );
    execFileSync(sshdPath, ['-f', file('sshd_config'), '-E', file('sshd.log')]);
  });
  afterAll(async () => {
    if (existsSync(file('sshd.pid'))) process.kill(Number(readFileSync(file('sshd.pid'), 'utf8')));
    await steno.dispose();
  });

  it('is an event of its own and a finding; a session of Steno is neither, whatever it runs', async () => {
    // Through Steno: a login, a shell and su, all part of a session.
    expect((await steno.ssh(`${steno.login}@local.steno`, `su ${becomes} -s /bin/sh -c ': ${mark}-inside'`)).status).toBe(0);
    expect((await around(`: ${mark}-around; su ${becomes} -s /bin/sh -c ': ${mark}-su'`)).status).toBe(0);
    const ours = await eventually(
      async () => (await told()).filter(({ reason }) => reason.includes(mark)),
      (all) => ['steno/su-beside-steno', 'steno/login-beside-steno'].every((name) => all.some(({ rule }) => rule === name)),
      60_000,
    );
    expect(
      ours.map(({ rule, session, node, login }) => ({ rule, session, node, login })).sort((a, b) => a.rule.localeCompare(b.rule)),
    ).toEqual([
      { rule: 'steno/login-beside-steno', session: '', node: 'local', login: 'root' },
      { rule: 'steno/su-beside-steno', session: '', node: 'local', login: becomes },
    ]);
    expect(ours.find(({ rule }) => rule === 'steno/login-beside-steno')).toMatchObject({
      severity: 'high',
      reason: expect.stringContaining(`by the sshd of the node from ${address}`) as string,
    });
    await steno.stop();
    const store = await openEventStore({ kind: 'chdb', path: join(steno.data, 'store', 'events') });
    const { rows } = await store.events({ kinds: ['login'], session: '', limit: 1000 });
    await store.close();
    expect(rows.find(({ data }) => data.includes(`${mark}-around`))).toMatchObject({
      source: 'kernel',
      emitter: 'agent/local',
      name: 'sshd',
    });
    expect(JSON.stringify(rows)).not.toContain(`${mark}-inside`);
  });
});
