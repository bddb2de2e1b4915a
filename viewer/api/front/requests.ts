/**
 * Access requests, passed on to the authority for the user of the cookie, and what webhooks answer, passed on as it came.
 *
 * The authority decides everything. A webhook's answer is kept in its bytes, since those are what was signed; of its
 * headers only those that sign go along. Answers are bounded in size and number. Tested in
 * test/end-to-end/requests.test.ts.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { StenoError } from '#schemas/base/errors.js';
import { limited, sourceAddress } from '../http/guard.js';
import { cookieToken } from '../access/identity.js';
import type { LoginRelay } from './login.js';

export const HOOK_PATH = '/hooks/:name';
const MAX_ANSWER = 64 * 1024;
const ANSWERS = { address: 300 };
const signing = ['x-slack-request-timestamp', 'x-slack-signature', 'x-hub-signature', 'steno-signature'] as const;

export interface RequestRouteDeps {
  readonly authority: LoginRelay;
  /** The page is served over TLS. */
  readonly secure: boolean;
}

export function requestRoutes(app: FastifyInstance, { authority, secure }: RequestRouteDeps): void {
  const pass = (request: FastifyRequest, method: 'GET' | 'POST', target: string): Promise<unknown> => {
    const session = cookieToken(request.headers.cookie, secure);
    if (session === null) throw new StenoError('NOT_SIGNED_IN');
    return authority.relay({
      method,
      target,
      session,
      client: sourceAddress(request),
      ...(method === 'POST' ? { body: request.body ?? {} } : {}),
    });
  };
  app.get('/api/requests', (request) => pass(request, 'GET', '/v1/requests'));
  app.post('/api/requests', (request) => pass(request, 'POST', '/v1/requests'));
  app.get('/api/request-options', (request) => pass(request, 'GET', '/v1/request-options'));
  app.get('/api/requests/:id', (request) => pass(request, 'GET', `/v1/requests/${idOf(request)}`));
  app.post('/api/requests/:id/review', (request) => pass(request, 'POST', `/v1/requests/${idOf(request)}/review`));
  app.post('/api/requests/:id/cancel', (request) => pass(request, 'POST', `/v1/requests/${idOf(request)}/cancel`));

  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_ANSWER }, (_request, body, done) => done(null, body));
    scope.post(HOOK_PATH, { bodyLimit: MAX_ANSWER, onRequest: limited(app, ANSWERS) }, async (request) => {
      const { name } = request.params as { name: string };
      if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) throw new StenoError('NOT_FOUND');
      const headers = Object.fromEntries(
        signing.flatMap((header) => {
          const value = request.headers[header];
          return typeof value === 'string' && value.length <= 512 ? [[header, value]] : [];
        }),
      );
      const body = Buffer.isBuffer(request.body) ? request.body.toString('base64') : '';
      await authority.relay({
        method: 'POST',
        target: `/v1/webhooks/${name}/answer`,
        client: sourceAddress(request),
        body: { body, headers },
      });
      // Whoever calls learns that it was taken, and nothing of the request.
      return {};
    });
  });
}

function idOf(request: FastifyRequest): string {
  const { id } = request.params as { id: string };
  if (!/^[a-z0-9][a-z0-9_.-]{0,62}$/.test(id)) throw new StenoError('NOT_FOUND', 'access request');
  return id;
}
