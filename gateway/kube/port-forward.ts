/**
 * port-forward: connections to ports of a pod, recorded as one session of kind `forward`.
 *
 *     recording open ──► API server accepts SPDY/3.1 ──► client accepted ──► relaying
 *                                                          SPDY/3.1, that inside a WebSocket, or channels of a WebSocket (channel-client.ts)
 *
 * Tested in port-forward.test.ts, and in test/kube/ with the real kubectl.
 */
import type { IncomingMessage } from 'node:http';
import { createWebSocketStream } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import { parseForwardedPorts } from '#schemas/kube/remote-command.js';
import { refuseConnecting } from '#schemas/policy/forwarding.js';
import { isStrict } from '../ssh/relay/session-recording.js';
import { factsOf } from './attempt.js';
import type { Attempt } from './attempt.js';
import { CLIENT_GONE } from './proxy.js';
import type { KubeAuthorized } from './requests/authorization.js';
import { ChannelClient, MAX_PORTS } from './streams/channel-client.js';
import { dialSpdy } from './streams/dial.js';
import { spdyClient } from './streams/forward-client.js';
import type { OpenClient } from './streams/forward-client.js';
import { ForwardRelay } from './streams/forward-relay.js';
import { offered, protocolChange } from './streams/offer.js';
import { acceptSpdy } from './streams/spdy-peer.js';
import { acceptWebSocket } from './streams/websocket-peer.js';

const PROTOCOL = 'portforward.k8s.io';
const TUNNEL = `SPDY/3.1+${PROTOCOL}`;
const CHANNELS = 'v4.channel.k8s.io';

/** The carrier of the client's connections to ports. `channels`: one connection to each port in the query. */
type Carrier = { readonly kind: 'spdy' } | { readonly kind: 'tunnel' } | { readonly kind: 'channels'; readonly ports: readonly number[] };

export interface ForwardWanted {
  readonly kind: 'forward';
  readonly carrier: Carrier;
}

/** Throws KUBE_REQUEST_REFUSED, KUBE_UNSUPPORTED. */
export function forwardWanted(query: string, request: IncomingMessage): ForwardWanted {
  const change = protocolChange(request, 'portforward');
  const names = offered(request, change === 'websocket' ? 'sec-websocket-protocol' : 'x-stream-protocol-version');
  const [kind, wanted] = change === 'spdy' ? (['spdy', PROTOCOL] as const) : (['tunnel', TUNNEL] as const);
  if (names.includes(wanted)) {
    // Each connection names its port.
    if (query !== '') throw new StenoError('KUBE_REQUEST_REFUSED', 'the parameters of portforward');
    return { kind: 'forward', carrier: { kind } };
  }
  if (change === 'spdy' || !names.includes(CHANNELS)) throw new StenoError('KUBE_UNSUPPORTED', `portforward without ${wanted}`);
  const ports = parseForwardedPorts(query, MAX_PORTS);
  if (ports === null) throw new StenoError('KUBE_REQUEST_REFUSED', 'the parameters of portforward');
  return { kind: 'forward', carrier: { kind: 'channels', ports } };
}

/** The reason for refusing a connection to this port of the pod, null if allowed. Connections go to the pod's loopback address. */
function refusePort({ forwarding }: KubeAuthorized, port: number): string | null {
  return refuseConnecting(forwarding, { host: '127.0.0.1', port }, false);
}

export async function runForward(attempt: Attempt, { carrier }: ForwardWanted): Promise<void> {
  const { deps, entered, upstream, counts, socket } = attempt;
  const facts = factsOf(attempt, { container: '', image: '' });
  const recorder = await deps.recorder.open({ ...facts, kind: 'forward', tty: false }, { cols: 80, rows: 24 });
  attempt.recorded({ session: recorder.session, close: () => recorder.close() });
  recorder.participant({ action: 'joined', user: facts.user, mode: 'owner', source_address: facts.source_address });
  if (isStrict(facts.recording)) recorder.onFailure((error) => attempt.end(error));
  attempt.stopIfEnded();
  const accepted = await dialSpdy(upstream, entered, '', PROTOCOL);
  if (accepted.kind === 'refused') {
    counts.answered(accepted.code);
    socket.end(accepted.answer);
    return;
  }
  counts.answered(101);
  try {
    const client = await accept(attempt, carrier);
    const relay = new ForwardRelay(counts, entered.access, recorder, { address: attempt.source }, (port) =>
      refusePort(entered.decided(), port),
    );
    entered.onDecided(() => relay.recheck());
    attempt.onEnd((error) => relay.end(error));
    await relay.run(client, { duplex: accepted.socket, head: accepted.head });
  } catch (error) {
    accepted.socket.destroy();
    throw error;
  }
}

/** Rejects KUBE_UNREACHABLE. */
function accept({ request, socket, head }: Attempt, carrier: Carrier): Promise<OpenClient> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new StenoError('KUBE_UNREACHABLE', CLIENT_GONE));
    if (socket.destroyed) return gone();
    socket.once('close', gone);
    switch (carrier.kind) {
      case 'spdy':
        acceptSpdy(socket, PROTOCOL);
        return resolve(spdyClient({ duplex: socket, head }));
      case 'tunnel':
        return acceptWebSocket(request, socket, head, TUNNEL, (client) =>
          resolve(spdyClient({ duplex: createWebSocketStream(client), head: Buffer.alloc(0) })),
        );
      case 'channels':
        return acceptWebSocket(request, socket, head, CHANNELS, (client) => {
          client.pause();
          resolve((events) => new ChannelClient(client, carrier.ports, events));
        });
    }
  });
}
