import { describe, expect, test } from 'vitest';
import { decide, roleSchema, visibility } from './role.js';
import type { Role } from './role.js';

const role = (more: object): Role => roleSchema.parse({ kind: 'role', name: 'r', ...more });
const web = { name: 'web-1', labels: { env: 'prod', os: 'linux' } };
const everywhere = { '*': '*' };

describe('deciding', () => {
  const table: [string, object[], string, boolean][] = [
    ['nothing allows without a role', [], 'root', false],
    ['a role without nodes allows nothing', [{ allow: { logins: ['root'] } }], 'root', false],
    ['a role without logins allows nothing', [{ allow: { nodes: everywhere } }], 'root', false],
    ['a named login on every node', [{ allow: { nodes: everywhere, logins: ['root'] } }], 'root', true],
    ['another login', [{ allow: { nodes: everywhere, logins: ['root'] } }], 'www', false],
    ['`*` is any login', [{ allow: { nodes: everywhere, logins: ['*'] } }], 'www', true],
    ['`*` is not root', [{ allow: { nodes: everywhere, logins: ['*'] } }], 'root', false],
    ['`{user}` is the own name', [{ allow: { nodes: everywhere, logins: ['{user}'] } }], 'ann', true],
    ['`{user}` is no other name', [{ allow: { nodes: everywhere, logins: ['{user}'] } }], 'bob', false],
    ['a label that the node carries', [{ allow: { nodes: { env: 'prod' }, logins: ['www'] } }], 'www', true],
    ['a label with another value', [{ allow: { nodes: { env: 'test' }, logins: ['www'] } }], 'www', false],
    ['a label that is missing', [{ allow: { nodes: { team: '*' }, logins: ['www'] } }], 'www', false],
    ['any value of a label that is there', [{ allow: { nodes: { env: '*' }, logins: ['www'] } }], 'www', true],
    ['all labels must hold', [{ allow: { nodes: { env: 'prod', os: 'bsd' }, logins: ['www'] } }], 'www', false],
    ['the name counts as a label', [{ allow: { nodes: { name: 'web-1' }, logins: ['www'] } }], 'www', true],
    ['`*` with a value that is not `*` is nothing', [{ allow: { nodes: { '*': 'prod' }, logins: ['www'] } }], 'www', false],
    ['deny of the login wins in the same role', [{ allow: { nodes: everywhere, logins: ['www'] }, deny: { logins: ['www'] } }], 'www', false],
    ['deny of `*` denies root too', [{ allow: { nodes: everywhere, logins: ['root'] }, deny: { logins: ['*'] } }], 'root', false],
    ['deny of the node wins over another role', [{ allow: { nodes: everywhere, logins: ['www'] } }, { deny: { nodes: { env: 'prod' } } }], 'www', false],
    ['deny of other nodes does not matter', [{ allow: { nodes: everywhere, logins: ['www'] } }, { deny: { nodes: { env: 'test' } } }], 'www', true],
    ['deny without labels denies no node', [{ allow: { nodes: everywhere, logins: ['www'] }, deny: { nodes: {} } }], 'www', true],
  ];
  test.each(table)('%s', (_claim, roles, login, allowed) => {
    expect(decide('ann', roles.map(role), web, login).allowed).toBe(allowed);
  });

  test('labels with the names of built-in properties are labels only', () => {
    expect(decide('ann', [role({ allow: { nodes: { constructor: '*' }, logins: ['www'] } })], web, 'www').allowed).toBe(false);
  });

  test('the strictest recording and the widest limit of the allowing roles count', () => {
    const allow = { nodes: everywhere, logins: ['www'] };
    const relaxed = role({ allow, recording: { mode: 'best_effort', streams: 'full', limit: 10 }, port_forwarding: false });
    const strict = role({ allow, recording: { mode: 'strict', streams: 'limited', limit: 5 }, port_forwarding: false });
    expect(decide('ann', [relaxed, strict], web, 'www')).toMatchObject({ recording: { mode: 'strict', streams: 'full', limit: 10 }, portForwarding: false });
    expect(decide('ann', [relaxed], web, 'www')).toMatchObject({ recording: { mode: 'best_effort' } });
  });
});

describe('whatever the roles', () => {
  // A fixed generator: a failure can be had again.
  let state = 42;
  const random = (n: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 16) % n;
  };
  const pick = <T>(from: readonly T[]): T => from[random(from.length)]!;
  const labels = (): Record<string, string> => pick<Record<string, string>>([{}, everywhere, { env: 'prod' }, { env: 'test' }, { env: '*', os: 'linux' }, { name: 'web-1' }]);
  const logins = (): string[] => pick([[], ['*'], ['root'], ['www', '{user}'], ['*', 'root']]);
  const randomRole = (): Role => role({ allow: { nodes: labels(), logins: logins() }, deny: random(3) === 0 ? { nodes: labels(), logins: logins() } : {} });

  test('adding a deny never allows more, and adding a role that only denies neither', () => {
    for (let i = 0; i < 3000; i += 1) {
      const roles = Array.from({ length: 1 + random(3) }, randomRole);
      const node = pick([web, { name: 'db-1', labels: { env: 'test' } }, { name: 'x', labels: {} }]);
      const login = pick(['root', 'www', 'ann', 'bob']);
      const before = decide('ann', roles, node, login).allowed;
      const at = random(roles.length);
      const more = roles.map((r, k) => (k === at ? { ...r, deny: { nodes: { ...r.deny.nodes }, logins: [...r.deny.logins, pick(['*', 'root', 'www', '{user}'])] } } : r));
      const denying = [...roles, role({ deny: { nodes: labels(), logins: logins() } })];
      for (const changed of [more, denying]) if (decide('ann', changed, node, login).allowed) expect(before).toBe(true);
    }
  });

  test('the order of the roles does not matter', () => {
    for (let i = 0; i < 1000; i += 1) {
      const roles = Array.from({ length: 3 }, randomRole);
      const login = pick(['root', 'www', 'ann']);
      expect(decide('ann', [...roles].reverse(), web, login).allowed).toBe(decide('ann', roles, web, login).allowed);
    }
  });
});

describe('a role document', () => {
  test('gets safe defaults', () => {
    expect(role({})).toMatchObject({ max_ttl: 43_200, recording: { mode: 'strict', streams: 'limited' }, view: 'own', administer: false });
  });
  test.each([{ name: '../x' }, { max_ttl: 59 }, { max_ttl: 108_001 }, { administrator: true }, { kind: 'user' }, { allow: { logins: ['-x'] } }, { allow: { logins: ['a b'] } }, { recording: { mode: 'off' } }])(
    '%j is refused', (more) => expect(roleSchema.safeParse({ kind: 'role', name: 'r', ...more }).success).toBe(false));
});

describe('what may be seen', () => {
  test.each([[[], 'none'], [['none'], 'none'], [['own', 'none'], 'own'], [['own', 'all'], 'all']] as const)('%j together is %s', (views, seen) =>
    expect(visibility(views.map((view) => role({ view })))).toBe(seen));
});
