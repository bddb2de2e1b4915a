import { expect, test } from 'vitest';
import { auditQuery, liveQuery, parseInput, parseSessionId, searchQuery, sessionsQuery, signInBody } from './query.js';

test('values become what they mean, with their defaults', () => {
  expect(parseInput(sessionsQuery, { from: '5', kind: 'exec' })).toEqual({ from: 5, kind: 'exec', limit: 50 });
  expect(parseInput(searchQuery, { q: 'a b' })).toEqual({ q: 'a b', mode: 'auto', limit: 25 });
  expect(parseInput(auditQuery, { event: 'session.' })).toEqual({ event: 'session.', limit: 50 });
  expect(parseInput(liveQuery, {})).toEqual({ after: 0 });
});

test('the field is named, its value is not repeated', () => {
  expect(() => parseInput(signInBody, { token: 'secret' })).toThrow(/token/);
  expect(() => parseInput(signInBody, { token: 'secret' })).not.toThrow(/secret/);
  expect(() => parseInput(sessionsQuery, { usr: 'x' })).toThrow(/usr: unknown/);
});

test('an id that is none is an unknown session', () => {
  expect(() => parseSessionId('../x')).toThrow(/no such session/);
});
