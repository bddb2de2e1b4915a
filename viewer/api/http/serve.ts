/**
 * The routes of declared endpoints (schemas/api/viewer.ts). The caller is identified first; then parameters, query and body are parsed
 * as declared; then the handler asks access.ts. Tested in viewer/api/main.test.ts.
 */
import { Readable } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';
import type { z } from 'zod';
import { checkAnswer, checkRefusal } from '#schemas/endpoint/answer-check.js';
import { noBody, viewerErrors } from '#schemas/endpoint/endpoint.js';
import type { ViewerEndpoint } from '#schemas/endpoint/endpoint.js';
import type { Identified } from '../access/identity.js';
import { parseInput } from './query.js';

export interface Asked<Of extends ViewerEndpoint> {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly params: z.output<Of['params']>;
  readonly query: z.output<Of['query']>;
  readonly body: z.output<Of['body']>;
}

/** Answers other than JSON are sent by the handler itself. */
type Sent<Of extends ViewerEndpoint> = Of extends { readonly media: string } ? FastifyReply : z.input<Of['answer']>;

export interface ServeOptions extends Pick<RouteShorthandOptions, 'onRequest' | 'bodyLimit' | 'config'> {
  /** Relays the body unchanged to the authority, which parses it and audits refusals. */
  readonly passesBody?: true;
}

export interface Serving {
  readonly app: FastifyInstance;
  /** For any caller. */
  open<Of extends ViewerEndpoint>(declared: Of, run: (asked: Asked<Of>) => Promise<Sent<Of>>, options?: ServeOptions): void;
  /** For the holder of a web session or a user certificate. */
  signedIn<Of extends ViewerEndpoint>(
    declared: Of,
    run: (viewer: Identified, asked: Asked<Of>) => Promise<Sent<Of>>,
    options?: Pick<ServeOptions, 'bodyLimit'>,
  ): void;
}

export interface ServingParts {
  readonly identify: (request: FastifyRequest) => Promise<Identified>;
  /** For tests: answers and error codes that the endpoint does not declare become INTERNAL. */
  readonly checkAnswers: boolean;
}

export function serving(app: FastifyInstance, { identify, checkAnswers }: ServingParts): Serving {
  const asked = <Of extends ViewerEndpoint>(
    declared: Of,
    request: FastifyRequest,
    reply: FastifyReply,
    passesBody: boolean,
  ): Asked<Of> => ({
    request,
    reply,
    params: parseInput(declared.params, request.params) as z.output<Of['params']>,
    query: parseInput(declared.query, request.query) as z.output<Of['query']>,
    body: bodyOf(declared, request, passesBody) as z.output<Of['body']>,
  });
  const checked = <T>(declared: ViewerEndpoint, run: () => Promise<T>): Promise<T> => {
    if (!checkAnswers) return run();
    const all = { ...declared, errors: [...declared.errors, ...viewerErrors] };
    return declared.media === undefined ? checkAnswer(all, run) : checkRefusal(all, run);
  };
  return {
    app,
    open(declared, run, { passesBody, ...options } = {}) {
      const { method, path: url } = declared;
      const handler = (request: FastifyRequest, reply: FastifyReply): Promise<unknown> =>
        checked(declared, async () => run(asked(declared, request, reply, passesBody === true)));
      app.route({ method, url, ...options, handler });
    },
    signedIn(declared, run, options = {}) {
      const { method, path: url } = declared;
      const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
        const viewer = await identify(request);
        return checked(declared, async () => run(viewer, asked(declared, request, reply, false)));
      };
      app.route({ method, url, ...options, ...((declared.body as unknown) === noBody ? {} : { preParsing: keepBody }), handler });
    },
  };
}

const bodies = new WeakMap<FastifyRequest, Buffer>();

/** The bytes of a request's body, which its signature covers; undefined if the endpoint takes no body. */
export function receivedBody(request: FastifyRequest): Uint8Array | undefined {
  return bodies.get(request);
}

/** Passes the complete body to the parser. Its length is limited here, as the parser would. */
async function keepBody(request: FastifyRequest, _: FastifyReply, payload: AsyncIterable<Buffer>): Promise<Readable> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of payload) {
    length += chunk.length;
    if (length > request.routeOptions.bodyLimit) throw new StenoError('TOO_LARGE');
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  bodies.set(request, body);
  return Readable.from([body], { objectMode: false });
}

/** Ignores a body that the endpoint does not take. */
function bodyOf({ body }: ViewerEndpoint, request: FastifyRequest, passesBody: boolean): unknown {
  if ((body as unknown) === noBody) return undefined;
  return passesBody ? (request.body ?? {}) : parseInput(body, request.body);
}
