/** The conformance suite of `Leases`; leases.test.ts runs it on each implementation. The test controls the store's clock. */
import { expect, test } from 'vitest';
import { MAX_LEASE_MS } from '#schemas/api/services/leases.js';
import type { Leases } from './contract.js';
import { FaultyLeases } from './faulty.js';
import { underLease } from './keeper.js';

export interface LeaseWorld {
  /** One process's access to the store; every call opens another. */
  readonly open: () => Promise<Leases>;
  /** The store's clock, ms. */
  readonly clock: { now: number };
}

export function conformance(world: () => LeaseWorld): void {
  const ttlMs = 10_000;
  const ask = (holder: string, name = 'work') => ({ name, holder, ttlMs });

  test('one of many simultaneous callers gets the lease, the others only after it is released', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => world().open()));
    const tokens = await Promise.all(all.map((leases, i) => leases.acquire(ask(`h${i}`))));
    const [winner] = tokens.flatMap((token, i) => (token === null ? [] : [{ token, i }]));
    expect(tokens.filter((token) => token !== null)).toHaveLength(1);
    await all[winner!.i]!.release({ name: 'work', holder: `h${winner!.i}`, token: winner!.token });
    expect(await all[0]!.acquire(ask('h9'))).toBeGreaterThan(winner!.token);
  });

  test('the names of a prefix that are held are listed, and no other', async () => {
    const leases = await world().open();
    expect(await leases.held('')).toEqual([]);
    const tokens = new Map<string, number>();
    for (const name of ['part-2', 'part-10', 'part-_', 'other', 'Part-1']) tokens.set(name, (await leases.acquire(ask('h', name)))!);
    expect(await leases.held('part-')).toEqual(['part-10', 'part-2', 'part-_']);
    // Neither % nor _ is a wildcard.
    expect(await leases.held('part-_')).toEqual(['part-_']);
    await leases.release({ name: 'part-2', holder: 'h', token: tokens.get('part-2')! });
    world().clock.now += ttlMs - 1;
    expect(await leases.renew({ name: 'part-_', holder: 'h', token: tokens.get('part-_')!, ttlMs })).toBe(true);
    world().clock.now += 1;
    expect(await leases.held('')).toEqual(['part-_']);
  });

  test('leases of other names are independent, and every token is greater than the last', async () => {
    const leases = await world().open();
    let last = 0;
    for (const name of ['a', 'b', 'c', 'a', 'b']) {
      const token = (await leases.acquire(ask('h', name)))!;
      expect(token).toBeGreaterThan(last);
      last = token;
    }
  });

  test('a killed holder keeps the lease until it expires; the next holder has a greater token, and the old token has no effect', async () => {
    const [one, two] = [await world().open(), await world().open()];
    const old = { name: 'work', holder: 'killed', token: (await one.acquire(ask('killed')))! };
    expect(await two.acquire(ask('next'))).toBeNull();
    world().clock.now += ttlMs;
    const token = (await two.acquire(ask('next')))!;
    expect(token).toBeGreaterThan(old.token);
    expect(await one.renew({ ...old, ttlMs })).toBe(false);
    await one.release(old);
    expect(await one.acquire(ask('third'))).toBeNull();
    expect(await two.renew({ name: 'work', holder: 'next', token, ttlMs })).toBe(true);
  });

  test('a lease is held as long as its holder, and nobody else, renews it', async () => {
    const leases = await world().open();
    const token = (await leases.acquire(ask('h')))!;
    for (let i = 0; i < 3; i += 1) {
      world().clock.now += ttlMs - 1;
      expect(await leases.renew({ name: 'work', holder: 'other', token, ttlMs })).toBe(false);
      expect(await leases.renew({ name: 'work', holder: 'h', token, ttlMs })).toBe(true);
    }
    expect(await leases.acquire(ask('other'))).toBeNull();
  });

  test('with the clock set forward a lease may be given away early: the first holder notices and cannot affect the second', async () => {
    const leases = await world().open();
    const first = { name: 'work', holder: 'a', token: (await leases.acquire(ask('a')))! };
    world().clock.now += 3_600_000;
    expect(await leases.renew({ ...first, ttlMs })).toBe(false);
    const second = { name: 'work', holder: 'b', token: (await leases.acquire(ask('b')))! };
    await leases.release(first);
    expect(await leases.renew({ ...second, ttlMs })).toBe(true);
  });

  test('with the clock set back a lease is not held forever', async () => {
    const leases = await world().open();
    await leases.acquire(ask('a'));
    world().clock.now -= MAX_LEASE_MS * 10;
    expect(await leases.acquire(ask('b'))).not.toBeNull();
  });

  test('after an acquire that was done but reported as failed, asking again succeeds with a new token', async () => {
    const faulty = new FaultyLeases(await world().open());
    faulty.faults.failAfter('acquire');
    await expect(faulty.acquire(ask('h'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await faulty.acquire(ask('other'))).toBeNull();
    expect(await faulty.acquire(ask('h'))).toBeGreaterThan(1);
  });

  test('after a release that was done but reported as failed, releasing again does not affect the new holder', async () => {
    const faulty = new FaultyLeases(await world().open());
    const claim = { name: 'work', holder: 'h', token: (await faulty.acquire(ask('h')))! };
    faulty.faults.failAfter('release');
    await expect(faulty.release(claim)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await faulty.acquire(ask('other'))).not.toBeNull();
    await faulty.release(claim);
    expect(await faulty.acquire(ask('third'))).toBeNull();
  });

  test('work under a lease excludes other work, and notices a lost lease before its next step', async () => {
    const leases = await world().open();
    const first = await underLease(leases, 'work', { holder: 'a', ttlMs }, async (held) => {
      await held.check();
      expect((await underLease(leases, 'work', { holder: 'b', ttlMs }, async () => 'b')).kind).toBe('held elsewhere');
      world().clock.now += ttlMs;
      const second = await underLease(leases, 'work', { holder: 'b', ttlMs }, async ({ token }) => token);
      expect(second).toMatchObject({ kind: 'done' });
      await expect(held.check()).rejects.toMatchObject({ code: 'LEASE_LOST' });
      expect(held.signal.aborted).toBe(true);
      return 'a';
    });
    expect(first).toEqual({ kind: 'done', result: 'a' });
    expect(await leases.acquire(ask('c'))).not.toBeNull();
  });

  test('a failed renewal does not lose the lease while time is left; no answer until its end does', async () => {
    const faulty = new FaultyLeases(await world().open());
    let monotonic = 0;
    await underLease(faulty, 'work', { holder: 'a', ttlMs, monotonic: () => monotonic }, async (held) => {
      faulty.faults.failBefore('renew');
      await expect(held.check()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      expect(held.signal.aborted).toBe(false);
      await held.check();
      monotonic += ttlMs;
      await expect(held.check()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    });
  });
}
