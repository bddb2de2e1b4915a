import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import { PLACE_BEAT_MS } from '#schemas/session-place.js';
import type { PlaceReport, PlaceRequest } from '#schemas/session-place.js';
import { SessionSlots } from './slots.js';

/** The authority's contract: it keeps what is reported, and can fail before or after doing so. */
class Told {
  readonly reports: PlaceReport[] = [];
  readonly questions: PlaceRequest[] = [];
  readonly kept = new Map<number, string>();
  known = true;
  fault: 'none' | 'not done' | 'done but reported failed' = 'none';
  refuse = false;

  async takePlace(request: PlaceRequest): Promise<boolean> {
    this.questions.push(request);
    return this.#do(() => {
      for (const number of request.ended) this.kept.delete(number);
      if (this.refuse) throw new StenoError('SESSIONS_TOO_MANY');
      this.kept.set(request.number, request.user);
    });
  }

  async tellPlaces(report: PlaceReport): Promise<boolean> {
    this.reports.push(report);
    return this.#do(() => {
      for (const number of report.ended) this.kept.delete(number);
      for (const { number, user } of report.begun) this.kept.set(number, user);
    });
  }

  forget(): void {
    this.kept.clear();
    this.known = false;
  }

  #do(change: () => void): boolean {
    if (this.fault !== 'not done') change();
    if (this.fault !== 'none') throw new StenoError('NOT_RUNNING');
    const known = this.known;
    this.known = true;
    return known;
  }
}

describe('session slots', () => {
  let told: Told;
  let limited: boolean;
  let places: SessionSlots;
  beforeEach(() => {
    vi.useFakeTimers();
    told = new Told();
    limited = true;
    const snapshot = (): Snapshot => ({ roles: limited ? [{ max_sessions: 2 }] : [{}] }) as unknown as Snapshot;
    places = new SessionSlots(told, { run: '0123456789abcdef', snapshot, log: pino({ level: 'silent' }) });
  });
  afterEach(async () => {
    await places.close();
    vi.useRealTimers();
  });
  const beat = (): Promise<unknown> => vi.advanceTimersByTimeAsync(PLACE_BEAT_MS);
  const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

  it('are counted for each user, and freed once', () => {
    const first = places.take('ann', 2);
    places.take('ann', 2);
    places.take('bob', 1);
    expect(() => places.take('ann', 2)).toThrow(StenoError);
    places.take('ann', null);
    first.leave();
    first.leave();
    expect(() => places.take('ann', 2)).toThrow(/2 at a time/);
  });

  it('are neither requested nor reported if no role sets a limit', async () => {
    limited = false;
    const place = places.take('ann', null);
    expect(place.granted).toBeUndefined();
    await beat();
    place.leave();
    await beat();
    expect([told.questions, told.reports]).toEqual([[], []]);
  });

  it('without a limit of their own are granted at once, and reported afterwards if another role has a limit', async () => {
    const place = places.take('ann', null);
    expect(place.granted).toBeUndefined();
    await settle();
    expect([...told.kept.values()]).toEqual(['ann']);
    place.leave();
    await settle();
    expect(told.kept.size).toBe(0);
  });

  it('are reported when roles get a limit while they are in use', async () => {
    limited = false;
    places.take('ann', null);
    await beat();
    limited = true;
    places.recheck();
    await settle();
    expect([...told.kept.values()]).toEqual(['ann']);
  });

  it('under a limit are granted by the authority, which learns of freed slots in the next request', async () => {
    const first = places.take('ann', 1);
    await first.granted;
    told.fault = 'not done';
    first.leave();
    await settle();
    told.fault = 'none';
    await places.take('ann', 1).granted;
    expect(told.questions[1]).toMatchObject({ user: 'ann', max: 1, ended: [1] });
    expect([...told.kept.keys()]).toEqual([2]);
  });

  it('that the authority refuses are not counted by the gateway either', async () => {
    told.refuse = true;
    await expect(places.take('ann', 1).granted).rejects.toMatchObject({ code: 'SESSIONS_TOO_MANY' });
    told.refuse = false;
    await places.take('ann', 1).granted;
    await settle();
    expect(told.kept.size).toBe(1);
  });

  it.each(['not done', 'done but reported failed'] as const)(
    'are refused without an answer from the authority, and none stays taken: %s',
    async (fault) => {
      told.fault = fault;
      await expect(places.take('ann', 1).granted).rejects.toMatchObject({ code: 'AUTHORITY_UNREACHABLE' });
      told.fault = 'none';
      await beat();
      expect(told.kept.size).toBe(0);
    },
  );

  it.each(['not done', 'done but reported failed'] as const)('freed before the authority knew of them are forgotten: %s', async (fault) => {
    told.fault = fault;
    const place = places.take('ann', null);
    await settle();
    place.leave();
    await settle();
    told.fault = 'none';
    await beat();
    expect(told.kept.size).toBe(0);
  });

  it('freed while the authority is asked are given back', async () => {
    const place = places.take('ann', 1);
    place.leave();
    await place.granted;
    await settle();
    expect(told.kept.size).toBe(0);
  });

  it('are reported again to an authority that has forgotten them', async () => {
    await places.take('ann', 2).granted;
    places.take('bob', null);
    await settle();
    told.forget();
    await beat();
    await settle();
    expect([...told.kept.values()].sort()).toEqual(['ann', 'bob']);
  });

  it('send a beat while any is taken', async () => {
    const place = places.take('ann', null);
    await settle();
    const before = told.reports.length;
    await beat();
    await beat();
    expect(told.reports.length).toBe(before + 2);
    place.leave();
    await settle();
    const after = told.reports.length;
    await beat();
    expect(told.reports.length).toBe(after);
  });
});
