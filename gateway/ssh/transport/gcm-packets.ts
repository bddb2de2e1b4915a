/**
 * Builds AES-GCM packets (RFC 5647 section 7.2) directly in the send buffer. It replaces ssh2's `allocPacket`, which
 * allocates memory and asks the system for random bytes for every packet. Other ciphers use ssh2's own.
 *
 *     uint32 length │ byte padding length │ payload │ padding │ tag (16 bytes, by the cipher)
 */
import { randomFillSync } from 'node:crypto';

const BLOCK = 16;
const TAG = 16;
const MIN_PADDING = 4;
const padding = Buffer.alloc(4096);
let paddingUsed = padding.length;

/** A packet for a payload of `length` bytes, which begins at byte 5, in memory from `reserve`. */
export function gcmPacket(length: number, reserve: (bytes: number) => Buffer): Buffer {
  let padded = BLOCK - ((1 + length) % BLOCK);
  if (padded < MIN_PADDING) padded += BLOCK;
  const packet = reserve(5 + length + padded + TAG);
  packet.writeUInt32BE(1 + length + padded, 0);
  packet[4] = padded;
  if (paddingUsed + padded > padding.length) {
    randomFillSync(padding);
    paddingUsed = 0;
  }
  padding.copy(packet, 5 + length, paddingUsed, paddingUsed + padded);
  paddingUsed += padded;
  return packet;
}
