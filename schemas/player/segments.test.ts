import { expect, test } from 'vitest';
import { SegmentCache, parseLines } from './segments.js';

test('lines become events with session times; a keyframe counts only at the start', () => {
  const text =
    '[0,"k",{"cols":80,"rows":24,"screen":"S"}]\n[0.5,"o","a"]\n[1,"i","x"]\n[0.25,"r","100x30"]\n[0,"k",{"cols":1,"rows":1,"screen":"no"}]\n[1,"x","0"]\n';
  expect(parseLines(text, 1000, false)).toEqual({
    keyframe: { cols: 80, rows: 24, screen: 'S' },
    until: 3750,
    characters: text.length,
    events: [
      { at: 1500, kind: 'output', text: 'a' },
      { at: 2750, kind: 'resize', cols: 100, rows: 30 },
    ],
  });
});

test('a keyframe after the first line is ignored, even before anything was drawn', () => {
  expect(
    parseLines('[0,"s",{"fact":"agent_forwarding"}]\n[0,"k",{"cols":80,"rows":24,"screen":"forged"}]\n[1,"o","a"]\n', 0, false).keyframe,
  ).toBeNull();
  expect(
    parseLines('[0,"k",{"cols":80,"rows":24,"screen":""}]\n[0,"k",{"cols":80,"rows":24,"screen":"forged"}]\n', 0, false).keyframe,
  ).toMatchObject({ screen: '' });
});

test.each([
  '',
  '\n\n',
  'garbage',
  '{"version":3}',
  '[1]',
  '[-1,"o","x"]',
  '["1","o","x"]',
  '[1,"o",5]',
  '[1,"r","0x0"]',
  '[1,"r","5000x5000"]',
  '[0,"k",{"cols":0,"rows":1,"screen":""}]',
  '[1,"o","cut',
])('a malformed line shows nothing: %s', (text) => expect(parseLines(text, 0, false)).toMatchObject({ keyframe: null, events: [] }));

test('without a terminal a bare newline returns the carriage', () => {
  expect(parseLines('[0,"o","a\\nb\\r\\nc"]', 0, true).events).toEqual([{ at: 0, kind: 'output', text: 'a\r\nb\r\nc' }]);
});

test('the cache is bounded, and a failed segment can be requested again', async () => {
  const asked: number[] = [];
  const cache = new SegmentCache((n) => {
    asked.push(n);
    return n === 9 && asked.filter((each) => each === 9).length === 1
      ? Promise.reject(new Error('gone'))
      : Promise.resolve({ keyframe: null, events: [], until: 0, characters: 10 << 20 });
  });
  for (const n of [0, 1, 0, 2]) await cache.get(n);
  expect([cache.peek(0), cache.peek(1), cache.peek(2)].map((lines) => lines !== undefined)).toEqual([true, false, true]);
  await expect(cache.get(9)).rejects.toThrow('gone');
  await cache.get(9);
  expect(asked).toEqual([0, 1, 2, 9, 9]);
});
