import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BotInfo, BotLogin, BotToken } from '#schemas/api/people/bots.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { Cleanup, signer } from '../../testing/authority.js';
import type { Signer } from '../../testing/authority.js';
import { people } from '../../testing/people.js';
import type { People } from '../../testing/people.js';

const cleanup = new Cleanup();
let world: People;
beforeAll(async () => {
  world = await people(cleanup);
});
afterAll(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const attempt = (n: number): string => String(n).padStart(43, 'a');

const add = (name: string): Promise<BotToken> => world.admin.call('POST', '/v1/bots', { name, roles: ['admin'] }) as Promise<BotToken>;
interface Joined extends BotLogin {
  readonly as: Signer;
}
async function join(token: string): Promise<Joined> {
  const key = generateKey();
  const joined = await world.relay<BotLogin>('POST', '/v1/bots/join', { token, public_key: formatPublicLine(key.publicBlob) });
  return {
    ...joined,
    as: signer(world.authority, key, parseAuthorizedLine(joined.login.certificate).blob, joined.login.service_ca_pem, cleanup),
  };
}
const renew = ({ as, instance }: Joined, generation: number, name: string): Promise<BotLogin> =>
  as.call('POST', '/v1/bots/renew', { instance, generation, attempt: name }) as Promise<BotLogin>;

describe('a bot', () => {
  test('joins once with its token, of many who try at once, and gets a certificate of an hour', async () => {
    const { token } = await add('ci');
    const results = await Promise.allSettled(Array.from({ length: 6 }, () => join(token)));
    const joined = results.filter((result) => result.status === 'fulfilled');
    expect(joined).toHaveLength(1);
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: refusal('BOT_TOKEN_OVER') });
    expect(joined[0]!.value.login.valid_before).toBeLessThanOrEqual(world.now() + 3_600_000);
  });

  test('renews by its key and count; a renewal whose answer was lost may be asked again', async () => {
    const bot = await join((await add('deployer')).token);
    expect(await renew(bot, 1, attempt(1))).toMatchObject({ generation: 2 });
    expect(await renew(bot, 1, attempt(1))).toMatchObject({ generation: 2 });
    expect(await renew(bot, 2, attempt(2))).toMatchObject({ generation: 3 });
  });

  test('whose copy renews is locked, both copies out, until it is reset', async () => {
    const bot = await join((await add('stolen')).token);
    await renew(bot, 1, attempt(1));
    await expect(renew(bot, 1, attempt(2))).rejects.toEqual(refusal('BOT_COPIED'));
    await expect(renew(bot, 2, attempt(3))).rejects.toEqual(refusal('LOCKED'));
    expect(await world.admin.call('GET', '/v1/locks')).toContainEqual(
      expect.objectContaining({ target: 'stolen', reason: expect.stringContaining('two copies') }),
    );
    expect((await world.audit()).filter(({ target }) => target === 'stolen').map(({ event }) => event)).toContain('bot.lock');
    const { token } = (await world.admin.call('POST', '/v1/bots/stolen/reset', {})) as BotToken;
    await expect(renew(bot, 2, attempt(4))).rejects.toEqual(refusal('ACCESS_DENIED'));
    expect((await join(token)).generation).toBe(1);
    const [info] = ((await world.admin.call('GET', '/v1/bots')) as BotInfo[]).filter(({ name }) => name === 'stolen');
    expect(info!.instances.map(({ stopped_at }) => stopped_at === null)).toEqual([false, true]);
  });

  test('two renewals at once with one count are two copies', async () => {
    const bot = await join((await add('twice')).token);
    const results = await Promise.allSettled([renew(bot, 1, attempt(1)), renew(bot, 1, attempt(2))]);
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1);
  });

  test.each<readonly [string, () => Promise<unknown>, string]>([
    ['an unknown token', () => join('x'.repeat(43)), 'BOT_TOKEN_OVER'],
    [
      'a token after its time',
      async () => {
        const own = await people(cleanup);
        const { token } = (await own.admin.call('POST', '/v1/bots', { name: 'late', roles: ['admin'], ttl: 60_000 })) as BotToken;
        own.pass(60_001);
        return own.relay('POST', '/v1/bots/join', { token, public_key: formatPublicLine(generateKey().publicBlob) });
      },
      'BOT_TOKEN_OVER',
    ],
    [
      'the instance of another bot',
      async () => {
        const [one, two] = [await join((await add('one')).token), await join((await add('two')).token)];
        return renew({ ...one, instance: two.instance }, 1, attempt(1));
      },
      'ACCESS_DENIED',
    ],
    [
      'a user that is no bot',
      () => world.admin.call('POST', '/v1/bots/renew', { instance: 'bot-0', generation: 1, attempt: attempt(1) }),
      'ACCESS_DENIED',
    ],
    ['a password for a bot', () => world.admin.call('POST', '/v1/users/ci/reset'), 'USER_NOT_LOCAL'],
  ])('%s is refused', async (_what, act, code) => expect(act()).rejects.toEqual(refusal(code)));
});
