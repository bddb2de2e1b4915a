import { expect, test } from 'vitest';
import { TICK_MS, Wheel } from './wheel.js';

function wheelAt(): { wheel: Wheel; called: string[]; entry: (name: string) => { due(now: number): void } } {
  const called: string[] = [];
  // The clock stands still: only `run` advances time.
  const wheel = new Wheel(() => 0);
  return { wheel, called, entry: (name) => ({ due: (now) => called.push(`${name}@${now}`) }) };
}

test('calls each entry once, not before its time, in order', () => {
  const { wheel, called, entry } = wheelAt();
  wheel.at(entry('late'), 100);
  wheel.at(entry('early'), 30);
  wheel.run(29);
  expect(called).toEqual([]);
  wheel.run(100 + TICK_MS);
  wheel.run(1000);
  expect(called).toEqual(['early@125', 'late@125']);
  expect(wheel.size).toBe(0);
  wheel.close();
});

test('keeps the earliest time that an entry asked for, and forgets cancelled entries', () => {
  const { wheel, called, entry } = wheelAt();
  const [one, two] = [entry('one'), entry('two')];
  wheel.at(one, 500);
  wheel.at(one, 50);
  wheel.at(one, 900);
  wheel.at(two, 50);
  wheel.cancel(two);
  wheel.run(75);
  expect(called).toEqual(['one@75']);
  expect(wheel.size).toBe(0);
  wheel.close();
});

test('an entry may schedule itself again while it is called', () => {
  const called: number[] = [];
  const wheel = new Wheel(() => 0);
  const again = { due: (now: number) => called.push(now) < 3 && wheel.at(again, now + 100) };
  wheel.at(again, 0);
  for (let now = 0; now < 1000; now += TICK_MS) wheel.run(now);
  expect(called).toEqual([0, 100, 200]);
  wheel.close();
});

test('its timer fires without a call to `run`', async () => {
  const wheel = new Wheel(() => performance.now());
  await new Promise<void>((resolve) => wheel.at({ due: () => resolve() }, performance.now() + 10));
  wheel.close();
});
