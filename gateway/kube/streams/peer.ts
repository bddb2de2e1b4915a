/**
 * One end of a stream to a container, whatever protocol carries it: frames of the subprotocol `v5.channel.k8s.io`
 * (schemas/kube/remote-command.ts) in both directions. The relay between two peers uses no other protocol.
 */
import type { Subprotocol } from '#schemas/kube/remote-command.js';

export interface PeerEvents {
  /** All streams of the command are open; no other event comes earlier. */
  ready(): void;
  frame(bytes: Buffer): void;
  /** The peer violated the protocol; `what`: a short description. */
  broken(what: string): void;
  /** Called once, whichever side closed it. `code`: a WebSocket close code. */
  closed(code: 1000 | 1001 | 1002): void;
}

export interface Peer {
  /** The subprotocol of the frames it sends. Version 4 cannot signal the end of input. */
  readonly protocol: Subprotocol;
  /** Bytes sent and not yet read by the peer. */
  readonly unread: number;
  /** Starts reporting events. The peer is paused until `resume`. */
  start(events: PeerEvents): void;
  /** Sends a frame; dropped if the peer has no stream for it, or after the end. */
  send(frame: Buffer): void;
  /** Calls back when much less is unread than before, or never if the peer is gone first. */
  onDrain(callback: () => void): void;
  pause(): void;
  resume(): void;
  /** Sends everything queued, then ends. A peer that does not answer is cut off. */
  close(code: 1000 | 1002 | 1011): void;
}

/** While one side has more unread bytes than this, the other side is not read. */
export const HIGH_WATER = 1 << 20;
/** The API server and kubectl send frames of 32 KiB. */
export const MAX_FRAME = 4 << 20;
/** Milliseconds for the other side to end the connection once this side has announced the end. */
export const LAST_MESSAGES_MS = 2_000;

export function frame(channel: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.of(channel), data]);
}
