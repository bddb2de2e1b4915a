/**
 * The WebSocket of a live session. The caller is identified and admitted before the connection is upgraded, so a refusal is an ordinary
 * HTTP response; Host and Origin are checked on every request (main.ts). Tested in viewer/api/main.test.ts.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { followSession } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';
import type { Identified } from '../access/identity.js';
import { sourceAddress } from '../http/guard.js';
import { parseInput, parseSessionId } from '../http/query.js';
import type { Sessions } from '../sessions/sessions.js';
import { LiveRelay } from './relay.js';
import type { LiveSource } from './ingest-feed.js';
import type { Follow } from './relay.js';

export type { LiveSource } from './ingest-feed.js';

export const LIVE_PATH = followSession.path;

export interface LiveRouteDeps {
  readonly sessions: Sessions;
  readonly source: LiveSource;
  readonly log: Log;
  readonly identify: (request: FastifyRequest) => Promise<Identified>;
  readonly clock: () => number;
}

/** Returns the relay that serves the followers. */
export function liveRoute(app: FastifyInstance, { sessions, source, log, identify, clock }: LiveRouteDeps): LiveRelay {
  const relay = new LiveRelay(source, log);
  const admitted = new WeakMap<FastifyRequest, Follow>();
  app.route<{ Params: { id: string } }>({
    method: 'GET',
    url: LIVE_PATH,
    preValidation: async (request) => {
      if (!request.ws) throw new StenoError('BAD_REQUEST', 'this call is a WebSocket');
      const identity = await identify(request);
      const { after, drafts } = parseInput(followSession.query, request.query);
      const asking = { viewer: identity, action: 'follow', source: sourceAddress(request) } as const;
      const { session } = await sessions.row(asking, parseSessionId(request.params.id));
      const recheck = async (): Promise<void> => {
        if (identity.expiresAt <= clock()) throw new StenoError('NOT_SIGNED_IN');
        await sessions.recheck(await identity.recheck(), 'follow', session);
      };
      admitted.set(request, { session, after, drafts: drafts !== undefined, recheck });
    },
    handler: () => {
      throw new StenoError('INTERNAL');
    },
    wsHandler: (viewer, request) => {
      const follow = admitted.get(request);
      if (follow === undefined) viewer.terminate();
      else relay.follow(viewer, follow);
    },
  });
  return relay;
}
