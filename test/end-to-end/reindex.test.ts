import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Steno, eventually } from './machine.js';
import type { SessionRow } from './machine.js';

const steno = new Steno();
beforeAll(() => steno.start());
afterAll(() => steno.dispose());

describe('an event store that is lost', () => {
  it('is computed again from the recordings alone, to the same rows', async () => {
    await steno.json('login', '--data', steno.data);
    const words = ['first', 'second', 'third'].map((word) => `${word}x${process.pid}`);
    for (const word of words) expect((await steno.ssh(`${steno.login}@local.steno`, `seq 1 300; echo ${word}`)).status).toBe(0);
    const look = async (): Promise<unknown> => ({
      sessions: await steno.json<SessionRow[]>('sessions'),
      hits: await Promise.all(words.map((word) => steno.json('search', word))),
    });
    await eventually(
      () => steno.json<SessionRow[]>('sessions', '--state', 'sealed'),
      (rows) => rows.length === words.length,
    );
    const links = (value: unknown): string => JSON.stringify(value);
    const before = links(await look());

    const running = await steno.steno('reindex', '--data', steno.data);
    expect({ status: running.status, named: running.stderr.includes('[ALREADY_RUNNING]') }).toEqual({ status: 73, named: true });

    await steno.stop();
    rmSync(join(steno.data, 'store', 'events'), { recursive: true });
    expect(await steno.json('reindex', '--data', steno.data)).toMatchObject({ recordings: words.length });
    // Once more changes nothing.
    expect((await steno.steno('reindex', '--data', steno.data)).status).toBe(0);
    await steno.start();
    await steno.json('login', '--data', steno.data);
    expect(links(await look())).toBe(before);
  });
});
