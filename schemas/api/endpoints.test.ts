import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { errorCatalogue } from '../base/errors.js';
import { decideAccess, listAccessDecisions } from './access/access-reviews.js';
import type { AccessDecision } from './access/access-reviews.js';
import { call } from '../endpoint/endpoint.js';
import { targetOf } from '../endpoint/target.js';
import type { Method } from '../endpoint/endpoint.js';
import { deleteJoinToken } from './inventory/join-tokens.js';
import { authorityEndpoints as endpoints } from './authority.js';

describe('a declared endpoint', () => {
  test.each(endpoints.map((one) => [`${one.method} ${one.path}`, one] as const))(
    '%s has a parameter for each one in its path, an audit event and known errors',
    (_, one) => {
      expect(Object.keys(one.params.shape).sort()).toEqual([...one.path.matchAll(/:(\w+)/g)].map(([, name]) => name).sort());
      expect(one.event).toMatch(/^[a-z_]+(\.[a-z_]+)?$/);
      expect(one.admits.length).toBeGreaterThan(0);
      // A relayed endpoint that does not admit viewers would answer nobody.
      if ('relayed' in one) expect(one.admits).toContain('viewer');
      for (const code of one.errors) expect(errorCatalogue).toHaveProperty(code);
    },
  );

  test('is declared once', () => {
    const heads = endpoints.map(({ method, path }) => `${method} ${path}`);
    expect(heads).toEqual([...new Set(heads)]);
  });

  test('is called by its path, with the body typed by its schema', async () => {
    const sent: (readonly [Method, string, unknown])[] = [];
    const send = async (method: Method, target: string, body?: unknown): Promise<unknown> => {
      sent.push([method, target, body]);
      return [];
    };
    const decisions = await call(send, listAccessDecisions, {});
    expectTypeOf(decisions).toEqualTypeOf<readonly AccessDecision[]>();
    await call(send, deleteJoinToken, { params: { id: 'abcdefghijkl' } });
    await call(send, decideAccess, { body: { user: 'ann', role: 'ops', decision: 'keep', reason: 'on call' } });
    // @ts-expect-error a required body is required
    await call(send, decideAccess, {});
    expect(sent.map(([method, target]) => `${method} ${target}`)).toEqual([
      'GET /v1/access-decisions',
      'DELETE /v1/tokens/abcdefghijkl',
      'POST /v1/access-decisions',
      'POST /v1/access-decisions',
    ]);
  });

  test('keeps any parameter text within its path segment', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (id) => {
        const target = targetOf('/v1/tokens/:id', { id });
        expect(target).toMatch(/^\/v1\/tokens\/[^/?#]+$/);
        expect(decodeURIComponent(target.slice('/v1/tokens/'.length))).toBe(id);
      }),
    );
  });
});
