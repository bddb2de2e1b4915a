/**
 * The agent's end of its tunnels: keeps one to each known gateway (gateways.ts).
 *
 *     dialling ──open, welcome──► up ──closed, silence, a fault──► waiting ──0.1 s doubled to 15 s, with jitter──► dialling
 *
 * Requests to the authority use any tunnel that is up. Tested in test/agent/tunnel.test.ts.
 */
import { WebSocket } from 'ws';
import { StenoError, isErrorCode } from '#schemas/base/errors.js';
import type { SignedNodeRequest, SignedTrust } from '#schemas/join.js';
import { MAX_TUNNEL_FRAME, TUNNEL_PATH, TUNNEL_PROTOCOL, gatewayMessage, parseTunnelJson } from '#schemas/tunnel.js';
import type { GatewayMessage, OpenStream } from '#schemas/tunnel.js';
import type { Log } from '#runtime/log.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { TunnelDuplex } from '#runtime/tunnel/duplex.js';
import { Mux } from '#runtime/tunnel/mux.js';

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 15_000;
const HANDSHAKE_MS = 10_000;
const ANSWER_MS = 20_000;

export interface TunnelDeps {
  readonly identity: ServiceIdentity;
  readonly log: Log;
  /** A stream opened by the gateway; `source` is the user's address as known to the gateway. */
  readonly onStream: (stream: TunnelDuplex, source: string, kind: OpenStream['kind']) => void;
  /** An exception ends the tunnel. */
  readonly onTrust: (trust: SignedTrust) => void;
  /** Called when a tunnel comes up. */
  readonly onUp: (gateway: string) => void;
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: StenoError) => void;
  readonly timer: NodeJS.Timeout;
}

export class AgentTunnel {
  readonly #address: string;
  readonly #deps: TunnelDeps;
  readonly #waiting = new Map<number, Waiting>();
  #mux: Mux | undefined;
  #up = false;
  #nextId = 0;
  #backoff = FIRST_BACKOFF_MS;
  #timer: NodeJS.Timeout | undefined;
  #socket: WebSocket | undefined;
  #closed = false;

  /** `host:port` of the gateway. */
  constructor(address: string, deps: TunnelDeps) {
    this.#address = address;
    this.#deps = deps;
    this.#dial();
  }

  get up(): boolean {
    return this.#up;
  }

  request(signed: SignedNodeRequest): Promise<unknown> {
    const mux = this.#mux;
    if (mux === undefined || !this.#up) return Promise.reject(new StenoError('NOT_RUNNING', `no tunnel to ${this.#address}`));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle(id, ({ reject: no }) => no(new StenoError('NOT_RUNNING', `${this.#address} did not answer`))),
        ANSWER_MS,
      );
      this.#waiting.set(id, { resolve, reject, timer });
      mux.control({ kind: 'signed', id, signed });
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#mux?.close('the agent is shutting down');
    this.#socket?.terminate();
  }

  #dial(): void {
    const { identity, log } = this.#deps;
    let reason = 'closed';
    let refused = false;
    const socket = new WebSocket(`wss://${this.#address}${TUNNEL_PATH}`, TUNNEL_PROTOCOL, {
      ...identity.tlsClientOptions(['gateway']),
      minVersion: 'TLSv1.3',
      perMessageDeflate: false,
      maxPayload: MAX_TUNNEL_FRAME,
      handshakeTimeout: HANDSHAKE_MS,
      // Masks keep browser data from looking like HTTP to a proxy; inside TLS to our own gateway there is no proxy.
      generateMask: (mask) => void mask.fill(0),
    });
    this.#socket = socket;
    socket.on('error', (error) => {
      // A refused connection also ends with an error, which says less.
      if (!refused) reason = error.message;
    });
    socket.on('unexpected-response', (_request, response) => {
      refused = true;
      const code = response.headers['x-steno-error'];
      reason = `refused${typeof code === 'string' && isErrorCode(code) ? ` [${code}]` : ` with status ${response.statusCode ?? 0}`}`;
      response.destroy();
      socket.terminate();
    });
    socket.on('open', () => {
      this.#mux = new Mux(socket, {
        side: 'agent',
        onOpen: (stream, queue, { source, kind }) => this.#deps.onStream(new TunnelDuplex(stream, queue), source, kind),
        onControl: (payload) => this.#control(parseTunnelJson(gatewayMessage, payload)),
        onClose: (why) => {
          reason = why;
        },
      });
    });
    socket.on('close', () => {
      this.#mux?.close(reason);
      this.#mux = undefined;
      const wasUp = this.#up;
      this.#up = false;
      for (const id of [...this.#waiting.keys()])
        this.#settle(id, ({ reject }) => reject(new StenoError('NOT_RUNNING', 'the tunnel was lost')));
      if (this.#closed) return;
      const wait = this.#backoff * (0.5 + Math.random() / 2);
      this.#backoff = Math.min(this.#backoff * 2, LONGEST_BACKOFF_MS);
      log[wasUp ? 'warn' : 'info']({ gateway: this.#address, reason, again_in_ms: Math.round(wait) }, 'no tunnel');
      this.#timer = setTimeout(() => this.#dial(), wait);
    });
  }

  #control(message: GatewayMessage): void {
    switch (message.kind) {
      case 'welcome':
        this.#deps.onTrust(message.trust);
        this.#up = true;
        this.#backoff = FIRST_BACKOFF_MS;
        this.#deps.log.info({ gateway: this.#address, name: message.gateway }, 'the tunnel is up');
        return this.#deps.onUp(this.#address);
      case 'trust':
        return this.#deps.onTrust(message.trust);
      case 'answer':
        return this.#settle(message.id, ({ resolve }) => resolve(message.answer));
      case 'refusal':
        return this.#settle(message.id, ({ reject }) =>
          reject(new StenoError(isErrorCode(message.code) ? message.code : 'INTERNAL', message.detail === '' ? undefined : message.detail)),
        );
      case 'leaving':
        // The connection is about to close; the gateway explains this to sessions that use it.
        return undefined;
    }
  }

  #settle(id: number, how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    how(waiting);
  }
}
