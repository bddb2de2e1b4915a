/** A stream to a container over a WebSocket: its messages are the frames. Tested in ../streaming.test.ts. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import type { Subprotocol } from '#schemas/kube/remote-command.js';
import { MessageSocket } from './message-socket.js';
import { MAX_FRAME } from './peer.js';
import type { Peer, PeerEvents } from './peer.js';
import { Unmasker } from './unmask.js';

export class WebSocketPeer extends MessageSocket implements Peer {
  readonly protocol: Subprotocol;

  /** `socket`: open; it is paused. */
  constructor(socket: WebSocket, protocol: Subprotocol) {
    super(socket);
    this.protocol = protocol;
  }

  start(events: PeerEvents): void {
    const { socket } = this;
    let over = false;
    const closed = (code: 1000 | 1001 | 1002): void => {
      if (over) return;
      over = true;
      events.closed(code);
    };
    // Text or binary: the API server treats both alike, and the Python client sends textual input as text.
    socket.on('message', (data) => {
      if (!over) events.frame(data as Buffer);
    });
    socket.on('close', () => closed(1001));
    socket.on('error', () => closed(1002));
    if (socket.readyState !== WebSocket.OPEN) return closed(1001);
    events.ready();
  }

  send(frame: Buffer): void {
    this.sendMessage(frame);
  }

  close(code: 1000 | 1002 | 1011): void {
    this.closeWith(code);
  }
}

const acceptors = new Map<string, WebSocketServer>();

/** Agrees on `protocol` with the client, and on no other. */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
  accepted: (client: WebSocket) => void,
): void {
  let acceptor = acceptors.get(protocol);
  if (acceptor === undefined) {
    acceptor = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_FRAME, clientTracking: false });
    acceptor.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${protocol}`));
    acceptors.set(protocol, acceptor);
  }
  // ws refuses names with a slash, such as the one for port forwarding; the offer has already been read.
  delete request.headers['sec-websocket-protocol'];
  acceptor.handleUpgrade(request, socket, head, accepted);
  // Nothing is read before this turn is over, so the unmasker sees all bytes, including `head`, before ws does. A listener added earlier
  // would get only `head`.
  const unmasker = new Unmasker();
  socket.prependListener('data', (chunk: Buffer) => unmasker.take(chunk));
}
