/** Queries whose reader disconnects, on a store that is slow to end cancelled queries. */
import { expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import type { QueryDisclosure } from '#schemas/disclosure.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { EventStore } from '#stores/events/contract.js';
import { Access } from '../access/access.js';
import { Disclosures } from '../access/disclosures.js';
import { Queries } from './queries.js';

const access = new Access(() => ({}));
const role = roleSchema.parse({ kind: 'role', name: 'r', view: 'all', allow: { rules: [{ resources: ['sql'], verbs: ['read'] }] } });
const viewer = access.viewer({ user: 'ann', traits: {}, roles: [role] });
const asked = { sql: 'SELECT 1', seconds: 300 } as Parameters<Queries['run']>[2];

/** Queries that last until they are cancelled, and then until `end` is called. */
function slowly() {
  const ends: (() => void)[] = [];
  const told: QueryDisclosure[] = [];
  const events: Pick<EventStore, 'readOnlySql' | 'sqlProgress'> = {
    readOnlySql: (_sql, _limits, _scope, running) =>
      new Promise((_, reject) => {
        running!.signal.addEventListener('abort', () => ends.push(() => reject(new StenoError('QUERY_CANCELLED'))));
      }),
    sqlProgress: () => Promise.resolve(null),
  };
  const authority = {
    relaying: () => (_method: string, _target: string, body: unknown) => {
      told.push(body as QueryDisclosure);
      return Promise.resolve(undefined as never);
    },
  };
  const queries = new Queries({
    events: events as EventStore,
    access,
    disclosures: new Disclosures(authority as unknown as ConstructorParameters<typeof Disclosures>[0], Date.now),
    clock: Date.now,
  });
  return { ends, told, queries };
}

test('left at a line of progress, it keeps its place until it has ended, and is told of then', async () => {
  const { ends, told, queries } = slowly();
  const begin = () => {
    const cancel = new AbortController();
    return { cancel, lines: queries.run(viewer, '192.0.2.1', asked, cancel.signal) };
  };
  const both = [begin(), begin()];
  for (const { lines } of both) expect((await lines.next()).value).toMatchObject({ kind: 'progress' });
  const left = both.map(({ cancel, lines }) => {
    cancel.abort();
    return lines.return(undefined);
  });
  await expect(begin().lines.next()).rejects.toMatchObject({ code: 'TOO_MANY' });
  expect(told.map(({ code }) => code)).toEqual(['TOO_MANY']);
  for (const end of ends) end();
  await Promise.all(left);
  expect(told.map(({ code }) => code)).toEqual(['TOO_MANY', 'QUERY_CANCELLED', 'QUERY_CANCELLED']);
  const { cancel, lines } = begin();
  expect((await lines.next()).value).toMatchObject({ kind: 'progress' });
  cancel.abort();
  const refused = lines.next();
  ends.at(-1)!();
  await expect(refused).rejects.toMatchObject({ code: 'QUERY_CANCELLED' });
  expect(told.at(-1)).toMatchObject({ actor: 'ann', code: 'QUERY_CANCELLED' });
  expect(told.length).toBe(4);
});
