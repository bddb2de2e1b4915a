/**
 * A tunnel for tests, as an agent in front of an OpenSSH server holds one: a WebSocket on loopback, the real multiplexer at both
 * ends, and the server at the node's address behind it.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { TunnelDuplex } from '#runtime/tunnel/duplex.js';
import { Mux } from '#runtime/tunnel/mux.js';
import { StenoError } from '#schemas/base/errors.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { TunnelWire } from '../tunnel/stream-wire.js';
import type { OpenTunnel } from '../ssh/dial/dial.js';

export interface TestTunnel {
  /** Opens a stream to any node with the address for which the tunnel was made; other nodes have no agent here. */
  readonly open: OpenTunnel;
  close(): void;
}

export async function startTunnel({ address }: NodeRecord): Promise<TestTunnel> {
  const [host, port] = address.split(':');
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  await once(server, 'listening');
  const arrived = once(server, 'connection') as Promise<[WebSocket]>;
  const dialled = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, { perMessageDeflate: false });
  const none = (): void => undefined;
  await once(dialled, 'open');
  const agent = new Mux(dialled, {
    side: 'agent',
    onControl: none,
    onClose: none,
    onOpen: (stream, queue) => {
      const duplex = new TunnelDuplex(stream, queue);
      const socket = connect({ host: host!, port: Number(port), noDelay: true, allowHalfOpen: true });
      const end = (): void => {
        socket.destroy();
        duplex.destroy();
      };
      socket.on('error', end).on('close', () => void duplex.end());
      duplex.on('error', end).on('close', () => socket.destroySoon());
      duplex.pipe(socket).pipe(duplex);
    },
  });
  const gateway = new Mux((await arrived)[0], { side: 'gateway', onControl: none, onClose: none });
  return {
    open: (node, source) => {
      if (node.address !== address) throw new StenoError('NODE_UNREACHABLE', `no agent of ${node.name} is connected to this gateway`);
      return new TunnelWire(gateway, source);
    },
    close() {
      agent.close('the test ends');
      gateway.close('the test ends');
      server.close();
    },
  };
}
