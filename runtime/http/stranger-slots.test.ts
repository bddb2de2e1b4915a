import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import pino from 'pino';
import { StrangerSlots, decideSlot, defaultSlots } from './stranger-slots.js';
import type { Slot, SlotLimits } from './stranger-slots.js';

const address = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;

/** An attack: silent connections from `sources` addresses take as many slots as they can get, and reconnect when displaced. */
function besieged(sources: number, random: () => number, limits = defaultSlots): { readonly slots: StrangerSlots; wave(): void } {
  const slots = new StrangerSlots(limits, { random });
  const wave = (): void => {
    for (let each = 0; each < limits.perSource; each++) for (let n = 0; n < sources; n++) slots.take(address(n), () => undefined);
  };
  wave();
  return { slots, wave };
}

/** A linear congruential generator: the same numbers in each run. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('while strangers hold every slot', () => {
  it.each([10, 50, 199])('a newcomer gets one at the first try, although %i addresses hold them all', (sources) => {
    const { slots } = besieged(sources, seeded(sources));
    expect(slots.size).toBeGreaterThan(120);
    for (let i = 0; i < 50; i++) {
      const slot = slots.take('192.0.2.1', () => {
        throw new Error('the newcomer was displaced');
      });
      expect(slot).not.toBeNull();
      slot!.release();
    }
  });

  it('a newcomer keeps it for a key exchange with fair probability, although 5,000 addresses connect 200 times a second', () => {
    const random = seeded(7);
    const { slots } = besieged(5_000, random);
    let [kept, n] = [0, 0];
    for (let i = 0; i < 400; i++) {
      let displaced = false;
      const slot = slots.take('192.0.2.1', () => {
        displaced = true;
      });
      // A key exchange and a signature take a quarter of a second.
      for (let other = 0; other < 50; other++) slots.take(address(100_000 + n++), () => undefined);
      if (slot !== null && !displaced) kept++;
      slot?.release();
    }
    // (1 - 1/200) ^ 50 = 0.78
    expect(kept / 400).toBeGreaterThan(0.7);
  });

  it('a source on which somebody was admitted has reserved slots and is never displaced', () => {
    const random = seeded(3);
    const slots = new StrangerSlots(defaultSlots, { random });
    slots.take('192.0.2.9', () => undefined)!.admitted();
    for (let n = 0; n < 20_000; n++) slots.take(address(n), () => undefined);
    for (let i = 0; i < defaultSlots.perSource; i++)
      expect(
        slots.take('192.0.2.9', () => {
          throw new Error('displaced');
        }),
      ).not.toBeNull();
    for (let n = 0; n < 20_000; n++) slots.take(address(50_000 + n), () => undefined);
    expect(slots.size).toBeLessThanOrEqual(defaultSlots.full + defaultSlots.reserve);
  });

  it('the addresses of one /64 are one source', () => {
    const slots = new StrangerSlots(defaultSlots, { random: () => 0.999_999 });
    const taken = Array.from({ length: 500 }, (_, n) => slots.take(`2001:db8:1:2::${n.toString(16)}`, () => undefined)).filter(
      (slot) => slot !== null,
    );
    expect(taken).toHaveLength(defaultSlots.perSource);
    expect(slots.take('2001:db8:1:3::1', () => undefined)).not.toBeNull();
    expect(slots.take('::ffff:192.0.2.1', () => undefined)).not.toBeNull();
  });

  it('refusals are reported once a minute, with counts', () => {
    vi.useFakeTimers();
    try {
      const [lines, reports]: [string[], object[]] = [[], []];
      const log = pino({}, { write: (line: string) => void lines.push(line) });
      const slots = new StrangerSlots(defaultSlots, { random: seeded(1), log, report: (counts) => reports.push(counts) });
      for (let n = 0; n < 1_000; n++) slots.take(address(n % 15), () => undefined);
      expect(lines).toEqual([]);
      vi.advanceTimersByTime(60_000);
      expect(lines).toHaveLength(1);
      expect(reports).toHaveLength(1);
      const { refused, displaced } = slots.turnedAway;
      expect(reports[0]).toMatchObject({ refused, displaced });
      expect(refused).toBeGreaterThan(500);
      vi.advanceTimersByTime(600_000);
      expect(lines).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('in any sequence of events', () => {
  const limits: SlotLimits = { start: 3, rate: 30, full: 8, perSource: 3, reserve: 2 };
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('arrive' as const),
        source: fc.integer({ min: 0, max: 12 }),
        random: fc.double({ min: 0, max: 0.999_999, noNaN: true }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('release' as const, 'admit' as const), which: fc.nat() }) },
  );

  it('the bounds hold, nothing leaks, and decisions match a simple model', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        let random = 0;
        const slots = new StrangerSlots(limits, { random: () => random, now: () => 0 });
        const model = new Map<Slot, number>();
        const known = new Set<number>();
        const of = (source: number): number => [...model.values()].filter((one) => one === source).length;
        for (const one of steps) {
          if (one.kind === 'arrive') {
            random = one.random;
            const [before, own] = [model.size, of(one.source)];
            let mine: Slot | null = null;
            const displaced: number[] = [];
            mine = slots.take(address(one.source), () => {
              model.delete(mine!);
              displaced.push(one.source);
            });
            if (own >= limits.perSource) expect(mine).toBeNull();
            else if (own === 0 && (known.has(one.source) || before < limits.full)) expect(mine).not.toBeNull();
            if (mine !== null) model.set(mine, one.source);
          } else if (model.size > 0) {
            const [slot, source] = [...model][one.which % model.size]!;
            if (one.kind === 'admit') {
              slot.admitted();
              known.add(source);
            } else slot.release();
            slot.release();
            model.delete(slot);
          }
          expect(slots.size).toBe(model.size);
          expect(slots.size).toBeLessThanOrEqual(limits.full + limits.reserve);
          for (const source of new Set(model.values())) expect(of(source)).toBeLessThanOrEqual(limits.perSource);
        }
        for (const slot of model.keys()) slot.release();
        expect(slots.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('a source without a slot is never refused: if all slots are taken, it displaces a connection', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 0.999_999, noNaN: true }),
        (counts, random) => {
          const held = new Map(counts.map((count, n) => [address(n), count]));
          const taken = Math.min(
            defaultSlots.full,
            counts.reduce((a, b) => a + b, 0),
          );
          expect(decideSlot(defaultSlots, { held, taken, reserved: 0, own: 0, known: false }, 'new', random).kind).not.toBe('refuse');
        },
      ),
    );
  });
});

describe('one arrival', () => {
  const limits: SlotLimits = { start: 10, rate: 30, full: 20, perSource: 5, reserve: 2 };
  type State = Parameters<typeof decideSlot>[1];
  const decided = (state: Partial<State>, key = 'me', random = 0, of = limits) =>
    decideSlot(of, { held: new Map(), taken: 0, reserved: 0, own: 0, known: false, ...state }, key, random);
  const mine = new Map([['me', 1]]);
  const slot = { kind: 'slot', reserved: false };
  const refuse = { kind: 'refuse' };

  it.each<[string, Partial<State>, number, object]>([
    ['below the start always has a slot', { held: mine, own: 1, taken: 9 }, 0, slot],
    ['at the start is refused by the rate', { held: mine, own: 1, taken: 10 }, 0.299, refuse],
    ['at the start is let in above the rate', { held: mine, own: 1, taken: 10 }, 0.301, slot],
    ['half-way is refused twice as often', { held: mine, own: 1, taken: 15 }, 0.649, refuse],
    ['half-way is let in above that', { held: mine, own: 1, taken: 15 }, 0.651, slot],
    ['before the end is refused nearly always', { held: mine, own: 1, taken: 19 }, 0.929, refuse],
    ['before the end may still be let in', { held: mine, own: 1, taken: 19 }, 0.931, slot],
    ['of a source without a slot has one while there are any', { held: new Map([['other', 19]]), taken: 19 }, 0, slot],
    ['of a source with all it may have is refused', { own: 5 }, 0.999, refuse],
    ['of a known source with all it may have is refused too', { own: 5, known: true }, 0.999, refuse],
    ['of a known source has a slot that is kept for such', { known: true, taken: 20, reserved: 1 }, 0, { kind: 'slot', reserved: true }],
    ['of a known source is one of all where those are taken', { known: true, taken: 5, reserved: 2 }, 0, slot],
  ])('%s', (_claim, state, random, verdict) => {
    expect(decided(state, 'me', random)).toEqual(verdict);
  });

  const heavy = {
    held: new Map([
      ['light', 1],
      ['one', 3],
      ['two', 3],
    ]),
    taken: 20,
  };
  it.each([
    ['me', 0, 'one'],
    ['me', 0.499, 'one'],
    ['me', 0.5, 'two'],
    ['me', 1, 'two'],
    ['light', 0, 'one'],
  ])('takes, where all are taken, one of a source with the most: of %s at %s that of %s', (key, random, of) => {
    expect(decided(heavy, key, random)).toEqual({ kind: 'displace', of });
  });

  it('takes none where it is of such a source itself, unless one source may have all', () => {
    expect(decided({ ...heavy, own: 3 }, 'one')).toEqual(refuse);
    const all = {
      held: new Map([
        ['me', 19],
        ['other', 1],
      ]),
      taken: 20,
      own: 19,
    };
    expect(decided(all, 'me', 0, { ...limits, perSource: 20 })).toEqual({ kind: 'displace', of: 'me' });
  });
});

describe('a source on which somebody was admitted', () => {
  const few: SlotLimits = { start: 1, rate: 100, full: 1, perSource: 1, reserve: 1 };
  it('is known for a day', () => {
    let now = 1_000;
    const slots = new StrangerSlots(few, { random: () => 0, now: () => now });
    slots.take('192.0.2.1', () => undefined)!.admitted();
    slots.take('192.0.2.2', () => undefined);
    const day = 24 * 3_600_000;
    now += day - 1;
    const kept = slots.take('192.0.2.1', () => undefined)!;
    expect([kept === null, slots.size]).toEqual([false, 2]);
    kept.release();
    now += 2;
    // One of two: a stranger again, it takes the slot of the other.
    expect(slots.take('192.0.2.1', () => undefined)).not.toBeNull();
    expect(slots.size).toBe(1);
  });
});

it('what was counted is reported at the end too, and nothing where nobody was turned away', () => {
  const reports: object[] = [];
  const slots = new StrangerSlots(
    { start: 1, rate: 100, full: 2, perSource: 1, reserve: 0 },
    { random: () => 0, report: (counts) => reports.push(counts) },
  );
  slots.close();
  expect(reports).toEqual([]);
  const gone: number[] = [];
  for (let n = 0; n < 3; n++) slots.take(address(n), () => gone.push(n));
  slots.take(address(2), () => undefined);
  slots.close();
  slots.close();
  expect(gone).toEqual([0]);
  expect(reports).toEqual([{ refused: 1, displaced: 1, sources: 2 }]);
  expect(slots.turnedAway).toEqual({ refused: 1, displaced: 1 });
});
