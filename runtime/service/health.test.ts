import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHealth } from './health.js';
import type { Health } from './health.js';

describe('health of a service', () => {
  let health: Health;
  const ask = async (path: string, method = 'GET'): Promise<number> => (await fetch(`http://${health.address}${path}`, { method })).status;
  beforeAll(async () => {
    health = await startHealth('127.0.0.1:0');
  });
  afterAll(() => health.close());

  it('is alive from the start, and ready only between start and drain', async () => {
    expect([await ask('/healthz'), await ask('/readyz')]).toEqual([200, 503]);
    health.set('ready');
    expect([await ask('/healthz'), await ask('/readyz')]).toEqual([200, 200]);
    health.set('draining');
    expect([await ask('/healthz'), await ask('/readyz')]).toEqual([200, 503]);
  });
  it('is not ready while nothing accepts connections', async () => {
    let serving = true;
    health.set('ready');
    health.watch(() => serving);
    const answers: number[] = [];
    for (const now of [true, false, true]) {
      serving = now;
      answers.push(await ask('/readyz'));
    }
    expect(answers).toEqual([200, 503, 200]);
    serving = false;
    expect(await ask('/healthz')).toBe(200);
  });
  it('answers no other path', async () => {
    expect([await ask('/'), await ask('/metrics'), await ask('/readyz?x=1'), await ask('/readyz', 'POST')]).toEqual([404, 404, 404, 404]);
  });
  it('names the port that is taken', async () => {
    await expect(startHealth(health.address)).rejects.toMatchObject({ code: 'PORT_TAKEN' });
  });
});
