/**
 * One end of a stream to a container, whatever protocol carries it: frames of the subprotocol `v5.channel.k8s.io`
 * (schemas/kube/remote-command.ts) in both directions. The relay between two of them knows no other.
 */
import type { Subprotocol } from '#schemas/kube/remote-command.js';

export interface PeerEvents {
  /** All streams that the command has are there; nothing came before. */
  ready(): void;
  frame(bytes: Buffer): void;
  /** The peer sent what has no place in the protocol, in a few words. */
  broken(what: string): void;
  /** Once, whoever closed it. `code`: as of a WebSocket. */
  closed(code: 1000 | 1001 | 1002): void;
}

export interface Peer {
  /** Whose frames it sends. Where it speaks version 4, it ends no input. */
  readonly protocol: Subprotocol;
  /** Bytes that were sent and that it has not read. */
  readonly unread: number;
  /** Begins to report. It is paused until `resume`. */
  start(events: PeerEvents): void;
  /** Drops what the peer has no stream for, and everything after the end. */
  send(frame: Buffer): void;
  /** Calls back when much less is unread than before, or never when the peer is gone first. */
  onDrain(callback: () => void): void;
  pause(): void;
  resume(): void;
  /** Sends what is still to be sent, then ends. A peer that does not answer is cut off. */
  close(code: 1000 | 1002 | 1011): void;
}

/** Beyond so much that one side has not read, the other is not read. */
export const HIGH_WATER = 1 << 20;
/** A frame of the API server or kubectl has 32 KiB. */
export const MAX_FRAME = 4 << 20;
/** For the end of the connection, once this side has said that it is over. */
export const LAST_MESSAGES_MS = 2_000;

export function frame(channel: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.of(channel), data]);
}
