import { describe, expect, it } from 'vitest';
import { parseRoles, readHostKeys } from './cluster.js';
import { parseOffset } from './play.js';
import { parseLimit, parseMoment } from './sessions.js';

describe('arguments', () => {
  it('moments are dates or ages', () => {
    expect(parseMoment('2h', 10_000_000)).toBe(10_000_000 - 7_200_000);
    expect(parseMoment('7d', 1e12)).toBe(1e12 - 604_800_000);
    expect(parseMoment('2026-11-22T10:00:00Z')).toBe(Date.UTC(2026, 10, 22, 10));
    for (const bad of ['', 'yesterday', '2x', '-1h']) expect(() => parseMoment(bad), bad).toThrow(/date/);
  });

  it('offsets are seconds or H:MM:SS', () => {
    expect([parseOffset('90'), parseOffset('1:30'), parseOffset('1:01:30'), parseOffset('1.5')]).toEqual([90_000, 90_000, 3_690_000, 1_500]);
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

describe('roles from YAML', () => {
  it('fills in what is not said, strictly', () => {
    const [role] = parseRoles('kind: role\nname: dev\nallow:\n  nodes: {env: dev}\n  logins: [deploy]\n', 'f');
    expect(role).toMatchObject({ name: 'dev', view: 'own', administer: false, recording: { mode: 'strict', streams: 'limited', limit: 1 << 20 } });
  });

  const bad: readonly [string, string, RegExp][] = [
    ['an unknown field', 'kind: role\nname: dev\nalow: {}\n', /alow|unrecognized/i],
    ['a wrong kind', 'kind: user\nname: dev\n', /kind/],
    ['a name with a path in it', 'kind: role\nname: ../x\n', /name/],
    ['broken YAML', 'kind: role\nname: [\n', /f:/],
    ['an alias bomb', 'kind: role\nname: dev\nallow: {logins: &a [root], nodes: {}}\ndeny: {logins: *a, nodes: {}}\n', /alias/i],
  ];
  for (const [name, text, message] of bad) it(`refuses ${name}`, () => expect(() => parseRoles(text, 'f')).toThrow(message));
});
