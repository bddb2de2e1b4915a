/** Reading what messages of the connection protocol carry. All throw BAD_REQUEST for what is malformed. */
import { StenoError } from '#schemas/base/errors.js';
import { SshReader } from '#schemas/ssh/wire.js';
import type { ForwardRequest } from './channel-requests.js';
import { MSG } from '../transport/messages.js';

export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** A reader behind the type of the message. */
export function readerOf(payload: Buffer): SshReader {
  const reader = new SshReader(payload, 'BAD_REQUEST');
  reader.byte('the type');
  return reader;
}

/** The data of a message whose length stands at `at`: exactly the rest, or the message is malformed. */
export function dataOf(payload: Buffer, at: number): Buffer {
  if (payload.readUInt32BE(at) !== payload.length - at - 4) throw new StenoError('BAD_REQUEST', 'the data has another length');
  return payload.subarray(at + 4);
}

/** Bytes of data of a message that was found to be whole. */
export function dataLength(payload: Buffer): number {
  return payload.length - (payload[0] === MSG.channelData ? 9 : 13);
}

export function forwardRequest(reader: SshReader, tcp: boolean, direction: 'local' | 'remote'): ForwardRequest {
  const address = textOf(reader.string('the address', 1024));
  if (!tcp) return { direction, address, port: 0, socket: true, originAddress: '', originPort: 0 };
  const port = reader.uint32('the port');
  return {
    direction,
    address,
    port,
    socket: false,
    originAddress: textOf(reader.string('the origin', 1024)),
    originPort: reader.uint32('the origin port'),
  };
}

export function clampSize(cells: number, otherwise: number): number {
  return cells === 0 ? otherwise : Math.min(cells, 1000);
}
