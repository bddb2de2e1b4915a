import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { authorityEndpoints } from '#schemas/api/authority.js';
import type { RunningAuthority } from '../app.js';
import { Cleanup, authorityIn, temporaryFolder } from '../testing/authority.js';
import { moves } from './moves.js';

const cleanup = new Cleanup();
let routes: RunningAuthority['routes'];
beforeAll(async () => {
  ({ routes } = await authorityIn(temporaryFolder(cleanup), cleanup));
});
afterAll(() => cleanup.run());
const nameOf = ({ method, path }: Pick<RunningAuthority['routes'][number], 'method' | 'path'>): string => `${method} ${path}`;

test('every declared endpoint has a route, and every route is declared', () => {
  expect(routes.map(nameOf).sort()).toEqual(authorityEndpoints.map(nameOf).sort());
});

test('every route that changes something has a line, and every line a route', () => {
  expect(moves.map(({ route }) => route).sort()).toEqual(
    routes
      .filter(({ method }) => method !== 'GET')
      .map(nameOf)
      .sort(),
  );
});

test('what is said to be for who administers everything is for nobody else', () => {
  for (const { route, check } of moves) {
    const { admits } = routes.find((one) => nameOf(one) === route)!;
    const only = admits.every((who) => who === 'owner' || who === 'administer');
    if (check === 'everything') expect(only, route).toBe(true);
    // Acts that any user may perform, or that need a verb, do not count as `own` without further reason.
    if (check === 'own')
      expect(
        admits.some((who) => who.includes(':') || who === 'administer'),
        route,
      ).toBe(false);
  }
});

describe('verbs match what a route does', () => {
  /** By method; a PUT determines itself whether it creates something. */
  const fitting: Readonly<Record<string, readonly string[]>> = {
    GET: ['list', 'read'],
    POST: ['create', 'update'],
    PUT: ['create', 'update'],
    DELETE: ['delete'],
  };
  test('by method', () => {
    const wrong = routes.flatMap((route) =>
      route.admits
        .filter((who) => who.includes(':') && !fitting[route.method]!.includes(who.split(':')[1]!))
        .map((who) => `${nameOf(route)} admits ${who}`),
    );
    expect(wrong).toEqual([]);
  });

  test('what any user may call changes nothing but what is theirs, or is a request', () => {
    const open = routes.filter(({ method, admits }) => method !== 'GET' && admits.includes('user')).map(nameOf);
    expect(
      open.filter((route) => !['own', 'request', 'session'].includes(moves.find((move) => move.route === route)!.check)).sort(),
    ).toEqual(['POST /v1/access/check', 'POST /v1/requests/:name/cancel', 'POST /v1/session-invitations/:name/revoke']);
  });

  test('one by one', () => {
    const verbs = routes.flatMap((route) => route.admits.filter((who) => who.includes(':')).map((who) => `${nameOf(route)} ${who}`)).sort();
    expect(verbs).toMatchSnapshot();
  });
});
