import { expect, test } from 'vitest';
import { signInByLink } from '#schemas/api/front/sign-in.js';
import { listAudit } from '#schemas/api/recordings/audit.js';
import { searchScreens } from '#schemas/api/recordings/search.js';
import { followSession, listSessions } from '#schemas/api/recordings/sessions.js';
import { parseInput, parseSessionId } from './query.js';

test('values become what they mean, with their defaults', () => {
  expect(parseInput(listSessions.query, { from: '5', kind: 'exec' })).toEqual({ from: 5, kind: 'exec', limit: 50 });
  expect(parseInput(searchScreens.query, { q: 'a b' })).toEqual({ q: 'a b', mode: 'auto', limit: 25 });
  expect(parseInput(listAudit.query, { event: 'session.' })).toEqual({ event: 'session.', limit: 50 });
  expect(parseInput(followSession.query, {})).toEqual({ after: 0 });
});

test('the field is named, its value is not repeated', () => {
  expect(() => parseInput(signInByLink.body, { token: 'secret' })).toThrow(/token/);
  expect(() => parseInput(signInByLink.body, { token: 'secret' })).not.toThrow(/secret/);
  expect(() => parseInput(listSessions.query, { usr: 'x' })).toThrow(/usr: unknown/);
});

test('an id that is none is an unknown session', () => {
  expect(() => parseSessionId('../x')).toThrow(/no such session/);
});
