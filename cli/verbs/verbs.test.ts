import { describe, expect, it } from 'vitest';
import { explanation } from './access/access.js';
import { readHostKeys } from '../client/host-keys.js';
import { parseOffset } from './sessions/play.js';
import { parseLimit, parseMoment } from '../terminal/arguments.js';
import { queueLine } from './operation/status.js';
import { USUAL_FORWARDING } from '#schemas/policy/forwarding.js';

describe('arguments', () => {
  it('moments are dates or ages', () => {
    expect(parseMoment('2h', 10_000_000)).toBe(10_000_000 - 7_200_000);
    expect(parseMoment('7d', 1e12)).toBe(1e12 - 604_800_000);
    expect(parseMoment('2026-11-22T10:00:00Z')).toBe(Date.UTC(2026, 10, 22, 10));
    for (const bad of ['', 'yesterday', '2x', '-1h']) expect(() => parseMoment(bad), bad).toThrow(/date/);
  });

  it('offsets are seconds or H:MM:SS', () => {
    expect([parseOffset('90'), parseOffset('1:30'), parseOffset('1:01:30'), parseOffset('1.5')]).toEqual([
      90_000, 90_000, 3_690_000, 1_500,
    ]);
    for (const bad of ['', 'x', '1:2:3:4', '-1']) expect(() => parseOffset(bad), bad).toThrow(/seconds/);
  });

  it('limits are 1 to 1000', () => {
    expect(parseLimit('1000')).toBe(1000);
    for (const bad of ['0', '1001', '1.5', 'x']) expect(() => parseLimit(bad), bad).toThrow(/1 to 1000/);
  });

  it('host keys come from .pub files and from ssh-keyscan', () => {
    const text = '# a comment\nssh-ed25519 AAAAC3Nz root@web\n127.0.0.1:22 ecdsa-sha2-nistp256 AAAAE2Vj\n\nnonsense\n';
    expect(readHostKeys(text)).toEqual(['ssh-ed25519 AAAAC3Nz', 'ecdsa-sha2-nistp256 AAAAE2Vj']);
  });
});

describe('what access check prints', () => {
  const head = { user: 'ann', node: 'web-1', login: 'www', lock: null, because: [], others: [] };
  it('names role, rule and line, and the terms', () => {
    const text = explanation({
      ...head,
      allowed: true,
      reason: 'role web allows it',
      because: [
        { role: 'web', rule: 'allow.logins[0]', line: 7, text: '- www' },
        { role: 'old', rule: 'view', line: null, text: '' },
      ],
      terms: {
        roles: ['web'],
        recording: { mode: 'strict', streams: 'limited', limit: 1 << 20 },
        enhanced: { mode: 'off', classes: [] },
        port_forwarding: true,
        forwarding: USUAL_FORWARDING,
        agent_forwarding: false,
        max_session_length: 5400,
        idle_timeout: null,
        max_sessions: 2,
        disconnect_expired_cert: false,
        require_session_mfa: true,
      },
    });
    expect(text.split('\n')).toEqual([
      'ann may log in as www on web-1: role web allows it',
      '  role web, allow.logins[0], line 7: - www',
      '  role old, view',
      '  under the terms of web:',
      '    recording strict, streams limited to 1.0 MiB, kernel events off',
      '    port forwarding yes but not metadata, agent forwarding no',
      '    ends after 1 h 30 min',
      '    at most 2 at a time',
      '    asks for a second factor each time',
      '',
    ]);
  });

  it('says what each role lacks, and that a lock is in force', () => {
    expect(
      explanation({
        ...head,
        allowed: false,
        reason: 'no role of ann allows it',
        others: [{ role: 'web', why: 'allows the login, but not the node web-1' }],
      }),
    ).toContain('  role web allows the login, but not the node web-1\n');
    expect(explanation({ ...head, allowed: true, reason: 'role web allows it', lock: 'user ann' })).toMatch(
      /^ann may not .* a lock on user ann is in force\n {2}without the lock: allowed/,
    );
  });
});

describe('what status says of a queue', () => {
  it('what is left of how much, and for how long', () => {
    expect(queueLine({ name: 'sealing', unit: 'sessions', waiting: 163, done: 37, total: 900, since: 0 }, 125_000)).toBe(
      'sealing ended sessions: 163 of 200 left, for 2 min',
    );
    expect(queueLine({ name: 'indexing', unit: 'bytes', waiting: 1 << 20, done: 0, total: 0, since: 1_000 }, 4_400)).toBe(
      'indexing output: 1.0 MiB of 1.0 MiB left, for 3 s',
    );
  });
});
