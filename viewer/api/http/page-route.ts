/** The page and its files, for every path that no other route answers. Tested in viewer/api/main.test.ts and viewer/api/page.test.ts. */
import type { FastifyInstance } from 'fastify';
import { StenoError } from '#schemas/base/errors.js';
import { acceptedCodings } from './lines.js';
import { findFile, loadPage, openingOf } from './static.js';

/**
 * Reads the files below `webRoot` once. `signedIn`: whether the request carries our cookie; if so, a header names the data that the
 * page will request first.
 */
export async function pageRoute(app: FastifyInstance, webRoot: string, signedIn: (cookie: string | undefined) => boolean): Promise<void> {
  const page = await loadPage(webRoot);
  app.get('/*', async (request, reply) => {
    const file = request.url.startsWith('/api') ? undefined : findFile(page, request.url.split('?', 1)[0]!);
    if (file === undefined) throw new StenoError('NOT_FOUND');
    const ahead = signedIn(request.headers.cookie) ? openingOf(request.url) : null;
    if (ahead !== null) void reply.header('link', `<${ahead}>; rel=preload; as=fetch; crossorigin=anonymous`);
    void reply.type(file.type).header('cache-control', file.cacheControl).header('etag', file.etag).header('vary', 'accept-encoding');
    if (request.headers['if-none-match'] === file.etag) return reply.code(304).send();
    if (file.gzip !== null && acceptedCodings(request).has('gzip')) return reply.header('content-encoding', 'gzip').send(await file.gzip());
    return reply.send(file.bytes);
  });
}
