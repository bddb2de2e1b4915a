import { afterAll, beforeAll, expect, it } from 'vitest';
import { Steno, eventually } from './machine.js';
import type { SessionRow } from './machine.js';

const steno = new Steno();
beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
});
afterAll(() => steno.dispose());

it('two hundred sessions that one address opens at once are all admitted and recorded', async () => {
  const many = 200;
  const results = await Promise.all(
    Array.from({ length: many }, (_, i) => steno.ssh('-o', 'ConnectionAttempts=1', `${steno.login}@local.steno`, `echo here-${i}`)),
  );
  expect(results.flatMap(({ status, stdout, stderr }, i) => (status === 0 && stdout.includes(`here-${i}\n`) ? [] : [stderr]))).toEqual([]);
  const rows = await eventually(
    () => steno.json<SessionRow[]>('sessions', '--limit', String(many)),
    (all) => all.length >= many && all.every(({ state }) => state !== 'live'),
  );
  expect(rows.length).toBe(many);
}, 240_000);
