/** `steno up` with its state in PostgreSQL: login, session and recording, and a second start that finds them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postgresPrograms, startPostgres } from '#stores/state/testing/postgres-server.js';
import type { PostgresServer } from '#stores/state/testing/postgres-server.js';
import { viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';

const programs = postgresPrograms();

describe.skipIf('missing' in programs)(`state in PostgreSQL${'missing' in programs ? `: ${programs.missing}` : ''}`, () => {
  const steno = new Steno();
  let server: PostgresServer;
  let url = '';
  beforeAll(async () => {
    server = await startPostgres();
    url = await server.newDatabase();
    await steno.start('--state', url);
    await steno.json('login', '--data', steno.data);
  });
  afterAll(async () => {
    await steno.dispose();
    await server.close();
  });

  it('records a session', async () => {
    expect(await steno.ssh(`${steno.login}@local.steno`, 'echo from-postgres')).toMatchObject({ status: 0, stdout: 'from-postgres\n' });
    const rows = await eventually(
      () => viewerOf(steno).sessions(),
      (found) => found.length > 0,
    );
    expect(rows[0]).toMatchObject({ node: 'local', login: steno.login });
  });

  it('continues with sessions and logins after a restart of the database', async () => {
    await server.restart();
    const again = await eventually(
      () => steno.ssh(`${steno.login}@local.steno`, 'true'),
      ({ status }) => status === 0,
    );
    expect(again.status).toBe(0);
  });

  it('finds the same CAs at a second start', async () => {
    const cas = async (): Promise<string> => {
      await steno.json('login', '--data', steno.data);
      // The host pattern contains the port, which differs at each start here.
      return readFileSync(join(steno.folder, 'home', 'known_hosts'), 'utf8').replace(/\[\*\]:\d+/g, '[*]');
    };
    const before = await cas();
    await steno.stop();
    await steno.start('--state', url);
    expect(before).toContain('@cert-authority');
    expect(await cas()).toBe(before);
    expect((await steno.ssh(`${steno.login}@local.steno`, 'true')).status).toBe(0);
  });

  it('refuses a password on the command line', async () => {
    const refused = await steno.steno('up', '--data', steno.data, '--state', 'postgres://steno:secret@127.0.0.1/steno');
    expect(refused.status).toBe(64);
    expect(refused.stderr).toContain('STENO_STATE');
    expect(refused.stderr).not.toContain('secret');
  });
});
