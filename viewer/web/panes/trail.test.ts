import { expect, test, vi } from 'vitest';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { MAX_EVENTS, Trail } from './trail.js';
import type { LoadEvents } from './trail.js';

const PAGE = 1_000;
const event = (n: number): KernelEventInfo => ({
  ...{ place: `1.${n}`, at: n * 10, offset: n * 10, kind: 'exec', path: '/bin/true', size: null, sha256: '', address: '', port: null },
  ...{ name: 'true', reason: '', outcome: 'success', count: null, data: { pid: n } },
});

/** A session of `total` events, one every 10 ms. */
function session(total: number): { readonly trail: Trail; readonly load: ReturnType<typeof vi.fn<LoadEvents>> } {
  const load = vi.fn<LoadEvents>(async ({ after, from = 0 }) => {
    const first = Math.max(after === undefined ? 0 : Number(after.slice(2)) + 1, Math.ceil(from / 10));
    const events = Array.from({ length: Math.max(0, Math.min(PAGE, total - first)) }, (_, i) => event(first + i));
    return { events, gaps: [], more: first + PAGE < total };
  });
  return { trail: new Trail(load), load };
}
const settled = (trail: Trail, holds: () => boolean): Promise<void> =>
  new Promise((resolve) => {
    const look = (): void => void (holds() && (stop(), resolve()));
    const stop = trail.subscribe(look);
    look();
  });

test('only the pages up to the moment that is looked at are loaded', async () => {
  const { trail, load } = session(15_000);
  trail.need(0);
  await settled(trail, () => trail.state.events.length >= 4_000);
  expect(load).toHaveBeenCalledTimes(4);
  trail.need(45_000);
  await settled(trail, () => trail.state.events.length >= 8_000);
  expect(load).toHaveBeenCalledTimes(8);
  expect(trail.state.events.map(({ place }) => place)).toEqual(Array.from({ length: 8_000 }, (_, n) => `1.${n}`));
  trail.next();
  await settled(trail, () => trail.state.events.length >= 9_000);
});

test('a moment far into a session that is larger than memory allows is shown from shortly before it, and the way back too', async () => {
  const { trail } = session(1_000_000);
  trail.need(8_000_000);
  await settled(trail, () => (trail.state.events.at(-1)?.offset ?? 0) >= 8_000_000);
  // The 300 s before it contain more events than fit in memory.
  expect(trail.state.since).toBe(7_925_000);
  expect(trail.state.events[0]!.offset).toBe(7_925_000);
  expect(trail.state.events.length).toBeLessThanOrEqual(MAX_EVENTS);
  trail.need(10);
  await settled(trail, () => trail.state.since === 0 && trail.state.events.length >= 4_000);
  expect(trail.state.events[0]!.offset).toBe(0);
});

test('where more happens in a second than memory holds, it is not asked for again and again', async () => {
  let asked = 0;
  const trail = new Trail(async ({ after }) => {
    asked += 1;
    const first = after === undefined ? 0 : Number(after.slice(2)) + 1;
    return { events: Array.from({ length: PAGE }, (_, i) => ({ ...event(first + i), offset: 1_000 })), gaps: [], more: true };
  });
  trail.need(5_000);
  await settled(trail, () => trail.state.since === 4_000 && trail.state.events.length === MAX_EVENTS);
  const before = asked;
  trail.need(5_010);
  trail.need(5_020);
  await Promise.resolve();
  expect(asked).toBe(before);
  expect(before).toBeLessThanOrEqual(7 * (MAX_EVENTS / PAGE));
});

test('what comes later in a live session follows, and a failure is told and gone with the next answer', async () => {
  let total = 5;
  const trail = new Trail(async ({ after }) => {
    if (total === 6) throw new Error('away');
    const first = after === undefined ? 0 : Number(after.slice(2)) + 1;
    return { events: Array.from({ length: total - first }, (_, i) => event(first + i)), gaps: [], more: false };
  });
  trail.need(0);
  await settled(trail, () => trail.state.events.length === 5);
  total = 6;
  trail.refresh();
  await settled(trail, () => trail.state.error !== null);
  total = 7;
  trail.refresh();
  await settled(trail, () => trail.state.events.length === 7);
  expect(trail.state.error).toBeNull();
});
