/**
 * Passes input of the client and of participants to the node, while the session's input gate is open and the node has room.
 *
 * Messages pass unchanged, so client and node count the same window. Participants' input consumes that window without the client's
 * knowledge. Those bytes are owed: they are withheld from the node's next window adjustments, and a client message that no longer
 * fits because of them waits. Tested in ../server/freeze.test.ts and ../server/joined.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { MSG } from '#schemas/ssh/numbers.js';
import { message } from '../transport/messages.js';
import { HOLD } from '../transport/transport.js';
import type { Transport } from '../transport/transport.js';
import type { Access } from '../../sessions/access.js';
import { unpooledCopy } from '../transport/unpooled-copy.js';
import type { Channel } from './channels.js';
import { dataOf } from './message-fields.js';

/** Bytes of input held for one channel while its session is frozen: more than the window of common servers. */
const MAX_HELD_INPUT = 4 << 20;
const CTRL_C = 0x03;
/** Ctrl-]: the key with which peers give commands to the gateway. */
const TAKE_BACK = 0x1d;
/** Bytes. */
const AWAITING_WINDOW = 16 * 1024;
/** Limit of owed bytes per channel: more than common servers read before they adjust the window. */
const MAX_TYPED = 1 << 20;

/** The part of `sides.ts` that `NodeInput` needs. */
export interface InputSides {
  readonly client: Transport;
  readonly node: Transport;
  readonly deps: { readonly access: Access };
  readonly channels: { readonly all: ReadonlySet<Channel> };
  toNode(channel: Channel, payload: Uint8Array): void;
  toClient(channel: Channel, payload: Uint8Array): void;
  endChannel(channel: Channel, error: StenoError): void;
  waitForSpool(recorder: { onReady(callback: () => void): void }, side: Transport): void;
}

export class NodeInput {
  readonly #sides: InputSides;
  /** Set by from-client.ts: records an input message and passes it on. */
  pass: (channel: Channel, payload: Buffer) => void = () => undefined;

  constructor(sides: InputSides) {
    this.#sides = sides;
  }

  /**
   * Whether a message with input of the client may go to the node now. While the session's input gate is closed, terminal input is
   * discarded and its bytes are granted to the client's window again; input of any other stream is held, since a protocol with missing
   * bytes is corrupt. Limits: `MAX_HELD_INPUT` bytes per channel, beyond which the session ends.
   */
  admit(channel: Channel, payload: Buffer): boolean {
    if (channel.session === null || channel.session.gate.open) return true;
    const terminal = channel.purpose.kind === 'session' && channel.purpose.request.tty;
    if (terminal && payload[0] !== MSG.channelEof) {
      // A user who waits for participants may still interrupt.
      if (channel.awaiting !== null && payload[0] === MSG.channelData && dataOf(payload, 5).includes(CTRL_C)) {
        this.#sides.endChannel(channel, new StenoError('MODERATION_AWAITED'));
        return false;
      }
      if (channel.session.gate.holds('keyboard') && payload[0] === MSG.channelData && dataOf(payload, 5).includes(TAKE_BACK))
        channel.session.watcher?.takeBack();
      else channel.session.gate.discard();
      if (payload[0] === MSG.channelData) this.#sides.toClient(channel, message.windowAdjust(channel.clientId, dataOf(payload, 5).length));
      return false;
    }
    channel.heldBytes += payload.length;
    if (channel.heldBytes > MAX_HELD_INPUT) {
      this.#sides.endChannel(channel, new StenoError('LOCKED', 'the session is frozen, and more input arrived than can be held'));
      return false;
    }
    channel.held.push(unpooledCopy(payload));
    return false;
  }

  /**
   * Grants the client window while its session waits for participants. OpenSSH's server grants none before a session starts, so
   * the client would hold back typed input and send it once the session has started.
   */
  grant(channel: Channel): void {
    channel.nodeOwed += AWAITING_WINDOW;
    this.#sides.toClient(channel, message.windowAdjust(channel.clientId, AWAITING_WINDOW));
  }

  /** Delivers the messages that `admit` held, in order. */
  deliverHeld(channel: Channel): void {
    const held = channel.held;
    channel.held = [];
    channel.heldBytes = 0;
    for (const payload of held) this.pass(channel, payload);
  }

  /**
   * Sends a participant's input to the node and returns the number of bytes taken. The client does not know that this consumes the
   * node's window, so a quarter of the window is left to the client.
   */
  type(channel: Channel, bytes: Buffer): number {
    const { tap } = channel;
    if (tap === null || channel.state !== 'open' || channel.clientClosed || channel.nodeClosed) return bytes.length;
    if (this.#sides.node.congested) return 0;
    const most = Math.min(MAX_TYPED, Math.ceil(channel.nodeWindowMost * 0.75)) - channel.nodeOwed;
    const taken = Math.max(0, Math.min(bytes.length, most, channel.nodeWindow, channel.nodePacket));
    if (taken === 0) return 0;
    const data = bytes.subarray(0, taken);
    channel.nodeWindow -= taken;
    channel.nodeOwed += taken;
    this.#sides.toNode(channel, message.data(channel.nodeId, data));
    this.#sides.node.flush();
    this.#sides.deps.access.active();
    if (!tap.input(data)) this.#sides.waitForSpool(tap.recorder, this.#sides.client);
    return taken;
  }

  /**
   * Whether the node has room for an input message of the client; if participants' input took the room, the message waits in `lateInput`.
   */
  takes(channel: Channel, payload: Buffer, bytes: number): boolean {
    if (channel.nodeOwed > 0 && (channel.lateInput.length > 0 || bytes > channel.nodeWindow)) {
      channel.lateInput.push(unpooledCopy(payload));
      this.#sides.client.hold(HOLD.nodeWindow);
      return false;
    }
    channel.nodeWindow -= bytes;
    return true;
  }

  /** Handles a window adjustment of the node, minus the bytes owed for participants' input. */
  widen(channel: Channel, bytes: number, payload: Buffer): void {
    channel.nodeWindow += bytes;
    channel.nodeWindowMost = Math.max(channel.nodeWindowMost, channel.nodeWindow);
    const owed = Math.min(channel.nodeOwed, bytes);
    channel.nodeOwed -= owed;
    if (channel.lateInput.length > 0) this.#deliverLate(channel);
    if (owed === 0) this.#sides.toClient(channel, payload);
    else if (bytes > owed) this.#sides.toClient(channel, message.windowAdjust(channel.clientId, bytes - owed));
    channel.session?.watcher?.roomy();
  }

  #deliverLate(channel: Channel): void {
    const late = channel.lateInput;
    channel.lateInput = [];
    for (const payload of late) this.pass(channel, payload);
    if (channel.lateInput.length === 0) this.#sides.client.release(HOLD.nodeWindow);
  }

  /** The connection to the node has room again. */
  drained(): void {
    for (const channel of this.#sides.channels.all) channel.session?.watcher?.roomy();
  }

  /** Forgets a closed channel. */
  forget(channel: Channel): void {
    if (channel.lateInput.length === 0) return;
    channel.lateInput = [];
    this.#sides.client.release(HOLD.nodeWindow);
  }
}
