import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findHits } from '#schemas/api/recordings/find.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../cli/client/client.js';
import { openHome } from '../../cli/client/home.js';
import { viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';

const steno = new Steno();
beforeAll(() => steno.start());
afterAll(() => steno.dispose());

describe('an event store that is lost', () => {
  it('is rebuilt from the recordings alone, with the same rows', async () => {
    await steno.json('login', '--data', steno.data);
    const words = ['first', 'second', 'third'].map((word) => `${word}x${process.pid}`);
    for (const word of words) expect((await steno.ssh(`${steno.login}@local.steno`, `seq 1 300; echo ${word}`)).status).toBe(0);
    const look = async (): Promise<unknown> => ({
      sessions: await viewerOf(steno).sessions(),
      hits: await Promise.all(
        words.map((word) => call(openClient(openHome(steno.env)).viewer, findHits, { query: { q: `${word} kind:screen`, limit: 20 } })),
      ),
    });
    await eventually(
      () => viewerOf(steno).sessions(),
      (rows) => rows.filter(({ state }) => state === 'sealed').length === words.length,
    );
    const links = (value: unknown): string => JSON.stringify(value);
    const before = links(await look());

    const running = await steno.steno('reindex', '--data', steno.data);
    expect({ status: running.status, named: running.stderr.includes('[ALREADY_RUNNING]') }).toEqual({ status: 73, named: true });

    await steno.stop();
    rmSync(join(steno.data, 'store', 'events'), { recursive: true });
    // A damaged recording is named and counted; the others are indexed.
    const objects = join(steno.data, 'store', 'objects');
    const sealed = readdirSync(join(objects, 'recordings'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('recording.cast.zst'))
      .sort()[1]!;
    const whole = readFileSync(join(objects, 'recordings', sealed));
    writeFileSync(join(objects, 'recordings', sealed), whole.subarray(0, whole.length >> 1));
    const damaged = await steno.steno('reindex', '--data', steno.data);
    expect(damaged).toMatchObject({
      status: 65,
      stdout: expect.stringMatching(/of 2 recordings\.\n$/),
      stderr: expect.stringContaining(`Damaged: recordings/${dirname(sealed)}/: `),
    });
    expect(damaged.stderr).toContain('some recordings are damaged: 1 of 3 [RECORDINGS_DAMAGED]');
    writeFileSync(join(objects, 'recordings', sealed), whole);

    expect(await steno.json('reindex', '--data', steno.data)).toMatchObject({ recordings: words.length, damaged: 0 });
    // A second run changes nothing.
    expect((await steno.steno('reindex', '--data', steno.data)).status).toBe(0);
    await steno.start();
    await steno.json('login', '--data', steno.data);
    expect(links(await look())).toBe(before);

    // Killed after no recording, one or two: the next reindex and the next start know which are missing.
    await steno.stop();
    const mark = join(steno.data, 'store', 'reindex.json');
    const reindexing = () => steno.terminal(process.execPath, [bin, 'reindex', '--data', steno.data]);
    for (const done of [0, 1, 2]) {
      rmSync(join(steno.data, 'store', 'events'), { recursive: true });
      const killed = reindexing();
      if (done === 0)
        await eventually(
          () => Promise.resolve(existsSync(mark)),
          (there) => there,
        );
      else await killed.until(new RegExp(`\\b${done} recordings`));
      killed.kill('SIGKILL');
      await killed.ended;
      expect(JSON.parse(readFileSync(mark, 'utf8'))).toMatchObject({ lost: true });
      if (done === 1) {
        expect((await steno.steno('reindex', '--data', steno.data)).stderr).toContain(
          'Audit rows, and kernel events of sessions without an event log, are in no recording',
        );
        expect(existsSync(mark)).toBe(false);
      }
    }
    await steno.start();
    await steno.json('login', '--data', steno.data);
    await eventually(
      () => Promise.resolve(existsSync(mark)),
      (there) => !there,
    );
    expect(links(await look())).toBe(before);
    expect(steno.logs()).toContain('incomplete and is being rebuilt');
    await eventually(
      () => viewerOf(steno).audit(),
      (rows) => rows.filter(({ event }) => event === 'events.rebuilt').length === 1,
    );

    // Deleted while Steno is down: the next start notices.
    await steno.stop();
    rmSync(join(steno.data, 'store', 'events'), { recursive: true });
    await steno.start();
    await steno.json('login', '--data', steno.data);
    await eventually(
      async () => links(await look()),
      (found) => found === before,
    );
    await eventually(
      () => Promise.resolve(existsSync(mark)),
      (there) => !there,
    );
  }, 300_000);
});
