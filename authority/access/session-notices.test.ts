import { afterEach, expect, test } from 'vitest';
import { MAX_NOTICES, NOTICE_MS } from '#schemas/session-notice.js';
import { administrator, authorityIn, Cleanup, clientOf, person, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const session = '01jdv3k5m8q2w7x9y4z6a0b1c2';

test('a notice reaches every gateway with the watch, no node, and is gone when it is over', async () => {
  let now = Date.now();
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => now);
  const admin = await administrator(authority, cleanup);
  const east = await clientOf(authority, { kind: 'gateway', name: 'east' }, cleanup);
  const agent = await clientOf(authority, { kind: 'agent', name: 'web-1' }, cleanup);
  const heard = async (count: number): Promise<void> => {
    while (east.current().notices.length !== count) await new Promise<void>((resolve) => east.onChange(() => resolve()));
  };
  const sent = await admin.call('POST', '/v1/session-notices', { session, text: 'please log out' });
  expect(sent).toEqual({ id: expect.stringMatching(/^[0-9a-f]{24}$/) as string, expires_at: now + NOTICE_MS });
  await heard(1);
  expect(east.current().notices).toMatchObject([{ session, text: 'please log out', expires_at: now + NOTICE_MS }]);
  expect(agent.current().notices).toEqual([]);

  now += NOTICE_MS;
  const audited = await admin.call('POST', '/v1/session-notices', { session, text: 'again' });
  expect(audited).toMatchObject({ expires_at: now + NOTICE_MS });
  while (east.current().notices[0]?.text !== 'again') await new Promise<void>((resolve) => east.onChange(() => resolve()));
  expect(east.current().notices).toHaveLength(1);
});

test.each([
  ['no session', { session: '../etc', text: 'x' }],
  ['no text', { session, text: '' }],
  ['an escape sequence', { session, text: '\u001b]0;title\u0007' }],
  ['several lines', { session, text: 'a\nb' }],
  ['characters that turn others around', { session, text: 'a\u202eb' }],
  ['too much', { session, text: 'x'.repeat(301) }],
])('%s is refused', async (_what, body) => {
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  const admin = await administrator(authority, cleanup);
  await expect(admin.call('POST', '/v1/session-notices', body)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
});

test('who may not lock may not speak, and a flood ends', async () => {
  const folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup);
  const admin = await administrator(authority, cleanup);
  const nobody = await person(authority, folder, admin, 'alice', ['stranger'], cleanup);
  await expect(nobody.call('POST', '/v1/session-notices', { session, text: 'x' })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  for (let n = 0; n < MAX_NOTICES; n++) await admin.call('POST', '/v1/session-notices', { session, text: `${n}` });
  await expect(admin.call('POST', '/v1/session-notices', { session, text: 'more' })).rejects.toMatchObject({ code: 'TOO_MANY' });
});
