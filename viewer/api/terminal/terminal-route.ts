/**
 * The WebSocket of a terminal in the page. The caller is identified before the connection is upgraded, so a refusal is an ordinary HTTP
 * response; Host and Origin are checked on every request (../http/server.ts). Only web sessions may use it: a caller that signs
 * requests with a certificate has an SSH client. The gateway decides which nodes the user may reach, by the certificate shown inside
 * SSH. Tested in test/end-to-end/terminal.test.ts.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { openTerminal } from '#schemas/api/front/terminal.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Identified } from '../access/identity.js';
import { sourceAddress } from '../http/guard.js';
import { parseInput } from '../http/query.js';
import type { Log } from '#runtime/log.js';
import type { GatewaySource } from './gateways.js';
import { TerminalRelay } from './relay.js';
import type { Opening } from './relay.js';

export type { GatewaySource } from './gateways.js';

export interface TerminalRouteDeps {
  /** If omitted, there is no gateway. */
  readonly gateways: GatewaySource | undefined;
  readonly identify: (request: FastifyRequest) => Promise<Identified>;
  readonly log: Log;
  readonly clock: () => number;
}

const noGateways: GatewaySource = { list: async () => [], tls: {} };

/** Returns the relay that holds the open terminals. */
export function terminalRoute(app: FastifyInstance, { gateways = noGateways, identify, log, clock }: TerminalRouteDeps): TerminalRelay {
  const relay = new TerminalRelay(gateways, log);
  const admitted = new WeakMap<FastifyRequest, Opening>();
  app.route({
    method: 'GET',
    url: openTerminal.path,
    preValidation: async (request) => {
      if (!request.ws) throw new StenoError('BAD_REQUEST', 'this call is a WebSocket');
      const identity = await identify(request);
      if (identity.by !== 'cookie') throw new StenoError('ACCESS_DENIED', 'terminals are for browsers; use `steno ssh`');
      const { resume } = parseInput(openTerminal.query, request.query);
      const recheck = async (): Promise<void> => {
        if (identity.expiresAt <= clock()) throw new StenoError('NOT_SIGNED_IN');
        await identity.recheck();
      };
      admitted.set(request, { user: identity.user, client: sourceAddress(request), recheck, ...(resume === undefined ? {} : { resume }) });
    },
    handler: () => {
      throw new StenoError('INTERNAL');
    },
    wsHandler: (browser, request) => {
      const opening = admitted.get(request);
      if (opening === undefined) browser.terminate();
      else relay.open(browser, opening);
    },
  });
  return relay;
}
