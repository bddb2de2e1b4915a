/** Two whole Stenos that trust each other: a user of one reaches a node of the other through both gateways. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import type { Result, SessionRow } from './machine.js';
import { stopAll } from '../support/stop-all.js';

const home = new Steno();
const away = new Steno();

beforeAll(async () => {
  await Promise.all([home.start('--cluster-name', 'home'), away.start('--cluster-name', 'away')]);
  await Promise.all([home.json('login', '--data', home.data), away.json('login', '--data', away.data)]);
});
afterAll(() =>
  stopAll(
    () => home.dispose(),
    () => away.dispose(),
  ),
);

/** Makes `to` trust `from`. */
async function trust(to: Steno, from: Steno, ...options: readonly string[]): Promise<Result> {
  const exported = await from.steno('clusters', 'export', '--gateway', from.run.ssh, '--updates', `${from.run.web}/cluster`);
  expect(exported.status).toBe(0);
  const file = join(to.folder, 'other.json');
  writeFileSync(file, exported.stdout);
  const fingerprint = /SHA256:\S+/.exec(exported.stderr)![0];
  return to.steno('clusters', 'trust', file, '--fingerprint', fingerprint, ...options);
}

const onAway = (...command: readonly string[]): Promise<Result> => home.ssh(`${home.login}@local.away.steno`, ...command);

describe('two clusters', () => {
  it('are strangers at first', async () => {
    const { status, stderr, stdout } = await onAway('true');
    expect(status).toBe(255);
    expect(stderr + stdout).toContain('local.away');
  });

  it('are not trusted by a file with a different fingerprint', async () => {
    const exported = await away.steno('clusters', 'export');
    const file = join(home.folder, 'wrong.json');
    writeFileSync(file, exported.stdout);
    const refused = await home.steno('clusters', 'trust', file, '--fingerprint', 'SHA256:AAAA');
    expect(refused.status).toBe(77);
    expect(refused.stderr).toContain('fingerprint');
  });

  it('that trust each other admit users through both gateways, and both record', async () => {
    expect(await trust(home, away)).toMatchObject({ status: 0 });
    // While only one side trusts the other, the remote cluster lists no nodes: one message, and the local list is still printed.
    const { status: listed, stdout: own, stderr: told } = await home.steno('nodes');
    expect({ listed, own: own.includes('local'), told: told.trim().split('\n') }).toEqual({
      listed: 0,
      own: true,
      told: [expect.stringContaining('The nodes of away cannot be listed now')],
    });
    expect(await trust(away, home, '--no-reach', '--map', 'admin=admin')).toMatchObject({ status: 0 });
    const answer = await eventually(
      () => onAway('echo over-there'),
      ({ status }) => status === 0,
    );
    expect(answer.stdout).toBe('over-there\n');
    const [there] = await eventually(
      () => viewerOf(away).sessions(),
      (rows) => rows.length > 0,
    );
    expect(there).toMatchObject({ user: `${home.login}_at_home`, node: 'local', login: home.login });
    const [here] = await eventually(
      () => home.json<SessionRow[]>('sessions', '--node', 'local.away'),
      (rows) => rows.length > 0,
    );
    expect(here).toMatchObject({ user: home.login, node: 'local.away' });
  });

  it('list the nodes that the user may reach in the other cluster beside their own', async () => {
    const nodes = await eventually(
      () => home.json<{ name: string; cluster: string | null; state: string }[]>('nodes'),
      (found) => found.some(({ cluster, state }) => cluster === 'away' && state === 'live'),
      60_000,
    );
    expect(nodes).toMatchObject([
      { name: 'local', cluster: null, state: 'live' },
      { name: 'local.away', cluster: 'away', state: 'live' },
    ]);
    expect((await home.steno('nodes')).stdout).toMatch(/^local\.away +live +away /m);
    // Trust is one-way.
    expect((await away.json<{ cluster: string | null }[]>('nodes')).map(({ cluster }) => cluster)).toEqual([null]);
  }, 90_000);

  it('a second factor for each session is asked for at home, where the user has one, and refused with a reason in the other cluster', async () => {
    const role = (steno: Steno, mfa: boolean): Promise<Result> => {
      const file = join(steno.folder, 'admin.yaml');
      writeFileSync(
        file,
        `kind: role\nname: admin\nadminister: true\nview: all\nallow:\n  nodes: {"*": "*"}\n  logins: ["*", root, "{user}"]\nrequire_session_mfa: ${mfa}\n`,
      );
      return steno.steno('apply', '-f', file);
    };
    expect((await role(away, true)).status).toBe(0);
    const refused = await eventually(
      () => onAway('true'),
      ({ status }) => status !== 0,
    );
    expect(refused.stdout + refused.stderr).toContain('[CLUSTER_NO_MFA]');
    expect(refused.stdout + refused.stderr).not.toContain('/confirm#');
    const rows = await eventually(
      () => viewerOf(away).audit({ event: 'session.refused' }),
      (found) => found.some(({ code }) => code === 'CLUSTER_NO_MFA'),
    );
    expect(rows.find(({ code }) => code === 'CLUSTER_NO_MFA')).toMatchObject({ actor: `${home.login}_at_home`, outcome: 'failure' });
    expect((await role(away, false)).status).toBe(0);
    await eventually(
      () => onAway('true'),
      ({ status }) => status === 0,
    );

    expect((await role(home, true)).status).toBe(0);
    const asked = home.terminal('ssh', onAwayArgs());
    await asked.until(/\/confirm#/);
    asked.kill();
    await asked.ended;
    expect((await role(home, false)).status).toBe(0);
    await eventually(
      () => onAway('true'),
      ({ status }) => status === 0,
    );
  });

  it('trust only in the direction that was configured', async () => {
    const { status } = await away.ssh(`${away.login}@local.home.steno`, 'true');
    expect(status).toBe(255);
  });

  it('show which clusters are trusted, and how', async () => {
    expect(await home.json('clusters')).toMatchObject([{ name: 'away', role_map: {}, reach: true }]);
    expect(await away.json('clusters')).toMatchObject([{ name: 'home', role_map: { admin: ['admin'] }, reach: false }]);
    expect((await home.steno('clusters', 'refresh', 'away')).stdout).toContain('Nothing is new');
  });

  it('a user certificate of one is refused by the gateway of the other', async () => {
    const [host, port] = away.run.ssh.split(':');
    const direct = await home.exec('ssh', [
      '-F',
      'none',
      '-p',
      port!,
      '-i',
      join(home.folder, 'home', 'id_ed25519'),
      '-o',
      'IdentitiesOnly=yes',
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
      `${home.login}@local@${host}`,
      'true',
    ]);
    expect(direct.status).toBe(255);
    expect(direct.stderr).toContain('must connect through a gateway of home');
  });

  it('a lock in one cluster ends the session of a user from the other', async () => {
    const session = home.terminal('ssh', onAwayArgs());
    await session.until(/\$|#/);
    session.write('echo re""ady\n');
    await session.until(/ready/);
    const { id } = await away.json<{ id: string }>('lock', '--user', `${home.login}_at_home`, '--reason', 'from-away');
    await session.ended;
    expect(session.text()).toContain('from-away');
    expect((await away.steno('unlock', id)).status).toBe(0);
  });

  it('that end their trust end live sessions at once and admit nobody any more', async () => {
    const session = home.terminal('ssh', onAwayArgs());
    await session.until(/\$|#/);
    expect((await away.steno('clusters', 'untrust', 'home')).status).toBe(0);
    await session.ended;
    expect((await onAway('true')).status).not.toBe(0);
    const rows = await eventually(
      () => viewerOf(away).audit({ event: 'cluster.' }),
      (found) => found.some(({ event }) => event === 'cluster.untrust'),
    );
    expect(rows.map(({ event }) => event)).toEqual(expect.arrayContaining(['cluster.trust', 'cluster.untrust', 'cluster.export']));
  });

  it('the side whose users go out can end the trust too', async () => {
    expect((await home.steno('clusters', 'untrust', 'away')).status).toBe(0);
    const { status, stderr, stdout } = await onAway('true');
    expect(status).toBe(255);
    expect(stderr + stdout).toContain('local.away');
  });
});

function onAwayArgs(): readonly string[] {
  return ['-F', home.config, '-tt', `${home.login}@local.away.steno`];
}
