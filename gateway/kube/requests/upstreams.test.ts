import { expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { Upstreams } from './upstreams.js';
import type { ReadUpstream } from './upstreams.js';

const record = (name: string, revision: number) => ({ name, revision, labels: {} });

/** An authority that counts how often it is asked, and answers with the URL that `url` returns. */
function scene(url: () => string) {
  const asked: string[] = [];
  const read: ReadUpstream = async (cluster) => {
    asked.push(cluster);
    return { revision: asked.length, upstream: { url: url(), credential: { kind: 'token', token: 't' } } };
  };
  return { asked, upstreams: new Upstreams(read) };
}

it('asks once for each revision, and never goes back to an older one', async () => {
  let url = 'https://one';
  const { asked, upstreams } = scene(() => url);
  const first = await upstreams.of(record('east', 1));
  expect(await upstreams.of(record('east', 1))).toBe(first);
  url = 'https://two/';
  const second = await upstreams.of(record('east', 2));
  expect(await upstreams.of(record('east', 1))).toBe(second);
  expect([first.base.host, second.base.host, second.headers, asked.length]).toEqual(['one', 'two', { authorization: 'Bearer t' }, 2]);
  expect(first.agent.maxFreeSockets).toBe(0);
  upstreams.close();
});

it('forgets clusters that the snapshot no longer names, even if the name returns with the same revision', async () => {
  const { asked, upstreams } = scene(() => 'https://one');
  await upstreams.of(record('east', 1));
  await upstreams.of(record('west', 1));
  upstreams.retain([record('west', 1)]);
  await upstreams.of(record('west', 1));
  await upstreams.of(record('east', 1));
  expect(asked).toEqual(['east', 'west', 'east']);
  upstreams.close();
});

it.each([
  ['NOT_FOUND', 'KUBE_CLUSTER_UNKNOWN'],
  ['NOT_RUNNING', 'AUTHORITY_UNREACHABLE'],
  ['ACCESS_DENIED', 'ACCESS_DENIED'],
] as const)('%s from the authority becomes %s, and the next request asks again', async (code, told) => {
  let asked = 0;
  const upstreams = new Upstreams(() => {
    asked += 1;
    return Promise.reject(new StenoError(code));
  });
  for (const _ of [1, 2]) await expect(upstreams.of(record('east', 1))).rejects.toMatchObject({ code: told });
  expect(asked).toBe(2);
});
