/** Reads the fields of connection protocol messages. All functions throw BAD_REQUEST for malformed messages. */
import { StenoError } from '#schemas/base/errors.js';
import { SshReader } from '#schemas/ssh/wire.js';
import { MSG } from '#schemas/ssh/numbers.js';
import type { ForwardRequest } from './channel-requests.js';

export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** A reader positioned after the message type. */
export function readerOf(payload: Buffer): SshReader {
  const reader = new SshReader(payload, 'BAD_REQUEST');
  reader.byte('the type');
  return reader;
}

/** The data of a message whose length field is at `at`; the message is malformed unless the data is exactly the rest. */
export function dataOf(payload: Buffer, at: number): Buffer {
  if (payload.readUInt32BE(at) !== payload.length - at - 4) throw new StenoError('BAD_REQUEST', 'the data length does not match');
  return payload.subarray(at + 4);
}

/** Number of data bytes in a message already checked by `dataOf`. */
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
