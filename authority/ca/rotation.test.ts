import { describe, expect, test } from 'vitest';
import { caPhases } from '#schemas/api/services/ca.js';
import { assertTransition, newKeySigns, nextPhase } from './rotation.js';

describe('a rotation', () => {
  const allowed = new Set([
    'standby init',
    'init update-clients',
    'init rollback',
    'update-clients update-servers',
    'update-clients rollback',
    'update-servers standby',
    'update-servers rollback',
    'rollback standby',
  ]);
  test.each(caPhases.flatMap((from) => caPhases.map((to) => [from, to] as const)))('from %s to %s', (from, to) => {
    const step = (): void => assertTransition('ssh-user', from, to);
    if (allowed.has(`${from} ${to}`)) expect(step).not.toThrow();
    else expect(step).toThrow(expect.objectContaining({ code: 'CA_PHASE' }));
  });

  test('by itself goes through every phase and ends', () => {
    const way = ['init' as (typeof caPhases)[number]];
    for (let next = nextPhase(way[0]!); next !== undefined; next = nextPhase(next)) way.push(next);
    expect(way).toEqual(['init', 'update-clients', 'update-servers', 'standby']);
  });

  test('lets the new key sign for clients first, for servers later, and for nobody once it goes back', () => {
    expect(caPhases.filter((phase) => newKeySigns(phase, 'client'))).toEqual(['update-clients', 'update-servers']);
    expect(caPhases.filter((phase) => newKeySigns(phase, 'server'))).toEqual(['update-servers']);
  });
});
