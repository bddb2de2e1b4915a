import { expect, test } from 'vitest';
import { roleSchema } from '../role.js';
import type { Role } from '../role.js';
import { differing, looserRole, looserTerm } from './terms.js';

const role = (more: object = {}): Role => roleSchema.parse({ kind: 'role', name: 'r', ...more });
const recording = (more: object) => ({ recording: more });
const enhanced = (more: object) => recording({ enhanced: more });
const moderation = (more: object = {}) => ({ moderation: more });

test.each<[string | null, object, object]>([
  [null, {}, {}],
  ['recording.mode', recording({ mode: 'best_effort' }), {}],
  [null, {}, recording({ mode: 'best_effort' })],
  ['recording.streams', recording({ streams: 'limited' }), recording({ streams: 'commands' })],
  ['recording.streams', recording({ streams: 'commands' }), recording({ streams: 'full' })],
  [null, recording({ streams: 'full' }), recording({ streams: 'limited' })],
  ['recording.limit', recording({ limit: 5 }), recording({ limit: 6 })],
  [null, recording({ limit: 6 }), recording({ limit: 6 })],
  // A stream that is recorded in full has no limit.
  [null, recording({ streams: 'full', limit: 5 }), recording({ limit: 6 })],
  ['recording.unechoed', {}, recording({ unechoed: 'full' })],
  [null, recording({ unechoed: 'full' }), {}],
  ['recording.enhanced.mode', enhanced({ mode: 'off' }), enhanced({ mode: 'best_effort' })],
  ['recording.enhanced.mode', enhanced({ mode: 'best_effort' }), enhanced({ mode: 'strict' })],
  [null, enhanced({ mode: 'strict' }), enhanced({ mode: 'off' })],
  ['recording.enhanced.classes', enhanced({ classes: ['exec'] }), enhanced({ classes: ['exec', 'file'] })],
  [null, enhanced({ classes: ['exec', 'file'] }), enhanced({ classes: ['file'] })],
  [null, enhanced({ mode: 'best_effort', classes: ['exec'] }), enhanced({ mode: 'off', classes: ['file'] })],
  // Not compared by what they mean: they must be the same.
  ['recording.bodies', {}, recording({ bodies: 'writes' })],
  ['recording.redact', recording({ redact: ['configmaps'] }), {}],
  ['max_session_length', {}, { max_session_length: 3_600 }],
  ['max_session_length', { max_session_length: 3_601 }, { max_session_length: 3_600 }],
  [null, { max_session_length: 3_600 }, { max_session_length: 3_600 }],
  [null, { max_session_length: 3_600 }, {}],
  ['idle_timeout', {}, { idle_timeout: 60 }],
  ['idle_timeout', { idle_timeout: 61 }, { idle_timeout: 60 }],
  [null, { idle_timeout: 60 }, { idle_timeout: 61 }],
  ['reconnect', { reconnect: 6 }, { reconnect: 5 }],
  ['reconnect', { reconnect: 5 }, {}],
  [null, { reconnect: 5 }, { reconnect: 5 }],
  [null, {}, { reconnect: 5 }],
  ['disconnect_expired_cert', {}, { disconnect_expired_cert: true }],
  [null, { disconnect_expired_cert: true }, {}],
  ['require_session_mfa', {}, { require_session_mfa: true }],
  [null, { require_session_mfa: true }, {}],
  ['require_write_mfa', {}, { require_write_mfa: true }],
  [null, { require_write_mfa: true }, {}],
  ['moderation', {}, moderation()],
  [null, moderation(), {}],
  [null, moderation(), moderation()],
  ['moderation', moderation({ count: 1 }), moderation({ count: 2 })],
  [null, moderation({ count: 2 }), moderation({ count: 1 })],
  ['moderation', moderation({ modes: ['moderator', 'peer'] }), moderation({ modes: ['moderator'] })],
  [null, moderation({ modes: ['moderator'] }), moderation({ modes: ['moderator', 'peer'] })],
  ['moderation', moderation(), moderation({ where: "'a' in user.roles" })],
  ['moderation', moderation({ where: "'b' in user.roles" }), moderation({ where: "'a' in user.roles" })],
  [null, moderation({ where: "'a' in user.roles" }), moderation()],
  [null, moderation({ where: "'a' in user.roles" }), moderation({ where: "'a' in user.roles" })],
  ['moderation', moderation(), moderation({ on_leave: 'terminate' })],
  [null, moderation({ on_leave: 'terminate' }), moderation()],
  [null, moderation({ on_leave: 'terminate' }), moderation({ on_leave: 'terminate' })],
])('%s is looser of %j than of %j', (term, given, held) => {
  expect(looserTerm(role(given), role(held))).toBe(term);
  expect(looserRole(role(given), role(held))).toBe(term);
});

test.each<[string | null, object, object]>([
  ['max_ttl', { max_ttl: 61 }, { max_ttl: 60 }],
  [null, { max_ttl: 60 }, { max_ttl: 60 }],
  ['max_sessions', {}, { max_sessions: 2 }],
  ['max_sessions', { max_sessions: 3 }, { max_sessions: 2 }],
  [null, { max_sessions: 2 }, { max_sessions: 2 }],
  [null, { max_sessions: 2 }, {}],
])('%s, which counts for a user and not for a session, is looser of %j than of %j', (term, given, held) => {
  expect(looserRole(role(given), role(held))).toBe(term);
  expect(looserTerm(role(given), role(held))).toBeNull();
});

test('documents differ in a field that one of them has, or that has another value, unless it is known', () => {
  expect(differing({ a: 1 }, { a: 1 }, [])).toBeNull();
  expect(differing({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }, [])).toBeNull();
  expect(differing({ a: 1 }, { a: 2 }, [])).toBe('a');
  expect(differing({ a: 1 }, {}, [])).toBe('a');
  expect(differing({}, { a: 1 }, [])).toBe('a');
  expect(differing({ a: 1, b: 1 }, { a: 2, b: 2 }, ['a'])).toBe('b');
  expect(differing({ a: 1 }, { a: 2 }, ['a'])).toBeNull();
});
