/**
 * Relays the answers of webhooks to the authority unmodified: byte for byte, since the bytes are signed; of the headers, only those
 * that carry the signature are relayed. Answers are limited in size and number. Tested in test/end-to-end/requests.test.ts.
 */
import type { FastifyInstance } from 'fastify';
import { answerWebhook, callbackHeaders } from '#schemas/api/access/webhooks.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { ViewerAuthority } from '../access/identity.js';
import { fromOtherSites, limited, sourceAddress } from '../http/guard.js';

const MAX_ANSWER = 64 * 1024;
const ANSWERS = { address: 300 };

export async function hookRoutes(
  app: FastifyInstance,
  { authority }: { readonly authority: Pick<ViewerAuthority, 'relaying'> },
): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_ANSWER }, (_request, body, done) => done(null, body));
  // The request carries no cookie; only its signature counts, and the authority checks it.
  app.post('/hooks/:name', { bodyLimit: MAX_ANSWER, onRequest: limited(app, ANSWERS), config: fromOtherSites }, async (request) => {
    const { name } = request.params as { name: string };
    if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) throw new StenoError('NOT_FOUND');
    const headers = Object.fromEntries(
      callbackHeaders.flatMap((header) => {
        const value = request.headers[header];
        return typeof value === 'string' && value.length <= 512 ? [[header, value]] : [];
      }),
    );
    const body = Buffer.isBuffer(request.body) ? request.body.toString('base64') : '';
    await call(authority.relaying({ client: sourceAddress(request) }), answerWebhook, { params: { name }, body: { body, headers } });
    // The caller learns only that the answer was accepted, nothing about the access request.
    return {};
  });
}
