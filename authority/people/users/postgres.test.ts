/** Two authorities on one PostgreSQL do not give two chances: anything that is valid once is valid once for both. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BotToken } from '#schemas/api/people/bots.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { postgresPrograms, startPostgres } from '#stores/state/testing/postgres-server.js';
import type { PostgresServer } from '#stores/state/testing/postgres-server.js';
import { authorityIn, Cleanup, clientOf, temporaryFolder } from '../../testing/authority.js';
import { PASSWORD, WEB, people } from '../../testing/people.js';
import type { People } from '../../testing/people.js';

const programs = postgresPrograms();
const cleanup = new Cleanup();

describe.skipIf('missing' in programs)(
  `users of two authorities on one store${'missing' in programs ? `: ${programs.missing}` : ''}`,
  () => {
    let server: PostgresServer;
    let world: People;
    let viewers: readonly AuthorityClient[];
    beforeAll(async () => {
      server = await startPostgres();
      const state = { kind: 'postgres', url: await server.newDatabase() } as const;
      world = await people(cleanup, { state });
      const second = await authorityIn(temporaryFolder(cleanup), cleanup, {
        state,
        web: WEB,
        name: 'second',
        sealKey: join(world.folder, 'authority', 'seal.key'),
      });
      viewers = [
        await clientOf(world.authority, { kind: 'viewer', name: 'a' }, cleanup),
        await clientOf(second, { kind: 'viewer', name: 'b' }, cleanup),
      ];
    });
    afterAll(async () => {
      await cleanup.run();
      await server.close();
    });
    /** Sends the same call to both, several times concurrently; returns how many succeeded. */
    const answered = async (target: string, body: unknown, client = '192.0.2.7'): Promise<number> => {
      const results = await Promise.allSettled(
        Array.from({ length: 6 }, (_, i) => viewers[i % 2]!.relaying({ client })('POST', target, body)),
      );
      return results.filter(({ status }) => status === 'fulfilled').length;
    };

    test('a code signs in once', async () => {
      const ann = await world.enrol('ann');
      expect(await answered('/v1/login/local', { user: 'ann', password: PASSWORD, code: ann.code(1) })).toBe(1);
    });

    test('a recovery code signs in once', async () => {
      const bob = await world.enrol('bob');
      expect(await answered('/v1/login/local', { user: 'bob', password: PASSWORD, code: bob.recovery[0] })).toBe(1);
    });

    test('a join token joins once', async () => {
      const { token } = (await world.admin.call('POST', '/v1/bots', { name: 'ci', roles: ['admin'] })) as BotToken;
      expect(await answered('/v1/bots/join', { token, public_key: formatPublicLine(generateKey().publicBlob) })).toBe(1);
    });

    test('guesses at one are counted by the other', async () => {
      const guess = (viewer: AuthorityClient): Promise<unknown> =>
        viewer.relaying({ client: '198.51.100.9' })('POST', '/v1/login/local', { user: 'ghost', password: 'no', code: '000000' });
      for (let i = 0; i < 5; i++) await expect(guess(viewers[i % 2]!)).rejects.toMatchObject({ code: 'LOGIN_FAILED' });
      for (const viewer of viewers) await expect(guess(viewer)).rejects.toMatchObject({ code: 'LOGIN_BLOCKED' });
    });
  },
);
