/**
 * One client connection and its connection to the node, message by message.
 *
 *     dialling ──reached──► relaying ──either side gone, locked, draining──► over
 *         └──refused, unknown, unreachable──► refusing ──client gone──► over
 *
 * Messages pass unchanged, and both sides keep their channel numbers and windows: a client is sent only as much as it
 * granted, so half-closed channels, flow control and requests behave as without a gateway. The relay reads along to record,
 * consults `request-rules.ts` for what may pass, and stops reading one side while the other does not drain its queue
 * (HIGH_WATER, socket-wire.ts). Tested in ../server/gateway.test.ts and forwarding.test.ts with stock clients and servers.
 */
import { StenoError } from '#schemas/base/errors.js';
import { DISCONNECT } from '#schemas/ssh/numbers.js';
import { explainError } from '../../sessions/refusal.js';
import { FromClient } from './from-client.js';
import { FromNode } from './from-node.js';
import { Sides } from './sides.js';
import type { RelayDeps, RelayPermissions } from './sides.js';
import { HOLD } from '../transport/transport.js';
import type { Transport } from '../transport/transport.js';
import { deferred } from '../../sessions/deferred-work.js';

/** After sessions were ended, the client has this many milliseconds to print their last messages. */
const LAST_MESSAGES_MS = 1_500;

export class Relay {
  readonly #sides: Sides;
  readonly #gone: () => void;

  /** `gone`: the client's connection is closed. */
  constructor(client: Transport, node: Transport, deps: RelayDeps, gone: () => void) {
    const sides = new Sides(client, node, deps, (error) => this.end(error));
    this.#sides = sides;
    this.#gone = gone;
    const fromNode = new FromNode(sides);
    const fromClient = new FromClient(sides, (payload) => {
      fromNode.message(payload);
      fromNode.flush();
    });
    client.events = {
      secured: () => undefined,
      message: (payload) => {
        fromClient.message(payload);
        if (node.congested) client.hold(HOLD.congestion);
      },
      drained: () => node.release(HOLD.congestion),
      closed: () => this.#clientClosed(),
    };
    node.events = {
      secured: () => undefined,
      message: (payload) => {
        fromNode.message(payload);
        if (client.congested) node.hold(HOLD.congestion);
      },
      read: () => {
        fromNode.read();
        if (client.congested) node.hold(HOLD.congestion);
      },
      drained: () => {
        client.release(HOLD.congestion);
        sides.input.drained();
      },
      closed: (reason) => this.end(new StenoError('NODE_LOST', reason === undefined ? deps.facts.node : `${deps.facts.node} (${reason})`)),
    };
  }

  /**
   * Ends every session with a message in its terminal, then both connections. The messages go first, since a lock may end
   * hundreds of connections at once. Nothing passes in either direction from here on; the node is told in a later turn of
   * the event loop.
   */
  end(error: StenoError): void {
    if (this.#sides.over) return;
    this.#sides.over = true;
    const { node } = this.#sides;
    node.events = { secured: () => undefined, message: () => undefined, drained: () => undefined, closed: () => undefined };
    const sessions = [...this.#sides.channels.all].filter(({ purpose, nodeClosed }) => purpose.kind === 'session' && !nodeClosed);
    for (const channel of this.#sides.channels.all) this.#sides.endChannel(channel, error);
    this.#sides.client.flush();
    this.#sides.deps.track(deferred().then(() => node.end()));
    this.#sides.closeRecordings();
    const lines = explainError(error).join(' ');
    if (sessions.length === 0 || this.#sides.client.closed) return this.#sides.client.disconnect(DISCONNECT.byApplication, lines);
    const timer = setTimeout(() => this.#sides.client.disconnect(DISCONNECT.byApplication, lines), LAST_MESSAGES_MS);
    this.#sides.client.events = {
      secured: () => undefined,
      message: () => undefined,
      drained: () => undefined,
      closed: () => {
        clearTimeout(timer);
        this.#gone();
      },
    };
    for (const reason of Object.values(HOLD)) this.#sides.client.release(reason);
  }

  /** Applies changed roles: forwardings that they no longer allow end, and future ones are refused. */
  permit(permissions: RelayPermissions): void {
    this.#sides.permissions = permissions;
    for (const channel of this.#sides.channels.all) {
      if (channel.purpose.kind !== 'forward' || this.#sides.refuses(channel.purpose.request) === null) continue;
      this.#sides.endChannel(channel, new StenoError('ACCESS_DENIED', 'no role allows this forwarding any more'));
    }
  }

  #clientClosed(): void {
    this.#gone();
    if (this.#sides.over) return;
    this.#sides.over = true;
    this.#sides.closeRecordings();
    this.#sides.node.end();
  }
}
