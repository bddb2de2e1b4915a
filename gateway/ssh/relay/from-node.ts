/**
 * Messages of the node, on their way to the client. Tested in ../server/gateway.test.ts and forwarding.test.ts.
 *
 * Terminal output arrives in packets of a line or two. The packets of one read are recorded and forwarded as one message:
 * the same bytes in fewer, larger messages. A terminal that prints more than anybody can read is read only every `PACE_MS`,
 * so that each read yields more; keystroke echo and screen drawing stay below that rate. Limits: a message is at most as
 * large as the client accepts, and nothing is kept beyond the read.
 */
import { MAX_ORDER_BYTES } from '#schemas/kernel/orders.js';
import { refuseListening } from '#schemas/policy/forwarding.js';
import { DISCONNECT, MSG, OPEN_REFUSED } from '#schemas/ssh/numbers.js';
import { MAX_CHANNELS, packetOf } from './channels.js';
import type { Channel } from './channels.js';
import { message } from '../transport/messages.js';
import { dataOf, forwardRequest, readerOf, textOf } from './message-fields.js';
import type { Sides } from './sides.js';
import { nodeChannels, nodeGlobals, nodeRequests } from './request-rules.js';
import { HOLD } from '../transport/transport.js';

/** Pacing starts after `FLOOD_BYTES` of output at once; `CALM_BYTES` per ms are deducted. */
const FLOOD_BYTES = 32 * 1024;
const CALM_BYTES = 1024;
const PACE_MS = 2;
/** A read of this size needs no pacing. */
const AMPLE_BYTES = 64 * 1024;
/** Messages of this size or more are not worth copying. */
const LARGE = 16 * 1024;
/** Output gathered into one message. Shared by all connections: it is empty again at the end of each read. */
const gathered = Buffer.allocUnsafeSlow(32 * 1024);
let gatheredBy: FromNode | null = null;

export class FromNode {
  readonly #sides: Sides;
  #channel: Channel | null = null;
  #length = 0;
  /** Terminal output of this read, and the running total that triggers pacing. */
  #printed = 0;
  #flood = 0;
  #floodAt = 0;
  readonly #go = (): void => this.#sides.node.release(HOLD.pace);

  constructor(sides: Sides) {
    this.#sides = sides;
  }

  message(payload: Buffer): void {
    const type = payload[0]!;
    if (type === MSG.channelData) return this.#output(payload);
    this.flush();
    switch (type) {
      case MSG.channelExtendedData:
        return this.#errors(payload);
      case MSG.channelWindowAdjust:
        return this.#sides.input.widen(this.#sides.ofClient(payload), payload.readUInt32BE(5), payload);
      case MSG.channelEof:
        return this.#sides.toClient(this.#sides.ofClient(payload), payload);
      case MSG.channelSuccess:
      case MSG.channelFailure: {
        const channel = this.#sides.ofClient(payload);
        channel.unanswered = Math.max(0, channel.unanswered - 1);
        return this.#sides.toClient(channel, payload);
      }
      case MSG.channelRequest:
        return this.#requestFromNode(this.#sides.ofClient(payload), payload);
      case MSG.channelClose: {
        const channel = this.#sides.ofClient(payload);
        this.#sides.toClient(channel, payload);
        channel.nodeClosed = true;
        return this.#sides.closed(channel);
      }
      case MSG.channelOpen:
        return this.#openFromNode(payload);
      case MSG.channelOpenConfirmation: {
        const channel = this.#sides.opening(payload, 'client');
        this.#sides.channels.identify(channel, 'node', payload.readUInt32BE(5));
        channel.state = 'open';
        channel.nodeWindow = channel.nodeWindowMost = payload.readUInt32BE(9);
        channel.nodePacket = packetOf(payload.readUInt32BE(13));
        return this.#sides.client.send(payload);
      }
      case MSG.channelOpenFailure:
        return this.#sides.openFailed(this.#sides.opening(payload, 'client'), this.#sides.client, payload);
      case MSG.globalRequest:
        return this.#globalFromNode(payload);
      case MSG.requestSuccess:
      case MSG.requestFailure:
        return this.#globalAnswer(payload);
      default:
        if (type >= MSG.globalRequest) this.#sides.node.disconnect(DISCONNECT.protocolError, 'steno: unknown message');
    }
  }

  /** Every message of one read has been delivered. */
  read(): void {
    this.flush();
    const printed = this.#printed;
    if (printed === 0) return;
    this.#printed = 0;
    const now = performance.now();
    this.#flood = Math.min(2 * FLOOD_BYTES, Math.max(0, this.#flood - (now - this.#floodAt) * CALM_BYTES) + printed);
    this.#floodAt = now;
    if (this.#flood < FLOOD_BYTES || printed >= AMPLE_BYTES) return;
    this.#sides.node.hold(HOLD.pace);
    setTimeout(this.#go, PACE_MS);
  }

  /** Sends the gathered output: at the end of each read, and before anything that must come after it. */
  flush(): void {
    const channel = this.#channel;
    if (channel === null) return;
    const bytes = gathered.subarray(0, this.#length);
    this.#channel = gatheredBy = null;
    this.#record(channel, 'out', bytes);
    for (let at = 0; at < bytes.length && channel.state !== 'ended' && !channel.nodeClosed; at += channel.clientPacket) {
      const piece = bytes.subarray(at, at + channel.clientPacket);
      this.#sides.client.sendParts(9 + piece.length, (packet, start) => {
        packet[start] = MSG.channelData;
        packet.writeUInt32BE(channel.clientId, start + 1);
        packet.writeUInt32BE(piece.length, start + 5);
        packet.set(piece, start + 9);
      });
    }
  }

  #output(payload: Buffer): void {
    const channel = this.#sides.ofClient(payload);
    const data = dataOf(payload, 5);
    if (!this.#mayPass(channel, payload, data)) return;
    if (channel !== this.#channel || this.#length + data.length > gathered.length) this.flush();
    if (data.length >= LARGE || (gatheredBy !== null && gatheredBy !== this)) {
      this.flush();
      return this.#pass(channel, payload, 'out', data);
    }
    if (this.#channel === null) {
      this.#channel = channel;
      this.#length = 0;
      gatheredBy = this;
    }
    gathered.set(data, this.#length);
    this.#length += data.length;
  }

  #errors(payload: Buffer): void {
    const channel = this.#sides.ofClient(payload);
    const data = dataOf(payload, 9);
    if (this.#mayPass(channel, payload, data)) this.#pass(channel, payload, 'err', data);
  }

  /**
   * Whether data may be shown: a started session exists and the client has room. If room is missing, the message is kept in
   * `late`; without a session it has no meaning and no recording, and is dropped.
   */
  #mayPass(channel: Channel, payload: Buffer, data: Buffer): boolean {
    if (channel.tap === null || channel.state !== 'open') return false;
    if (channel.kernel?.ready === false) {
      channel.kernel.unready();
      return false;
    }
    const waiting = channel === this.#channel ? this.#length : 0;
    if (channel.owed === 0 || waiting + data.length <= channel.clientWindow) return true;
    channel.late = Buffer.from(payload);
    this.#sides.node.hold(HOLD.window);
    return false;
  }

  #pass(channel: Channel, payload: Buffer, stream: 'out' | 'err', data: Buffer): void {
    this.#record(channel, stream, data);
    this.#sides.toClient(channel, payload);
  }

  /** Records output before it is shown. */
  #record(channel: Channel, stream: 'out' | 'err', data: Buffer): void {
    const { tap, purpose } = channel;
    if (purpose.kind === 'session' && purpose.request.tty) this.#printed += data.length;
    else this.#sides.deps.access.active();
    channel.clientWindow -= data.length;
    if (tap !== null && !tap.output(stream, data)) this.#sides.waitForSpool(tap.recorder, this.#sides.node);
  }

  #requestFromNode(channel: Channel, payload: Buffer): void {
    const reader = readerOf(payload);
    reader.uint32('the channel');
    const name = reader.utf8('the request', 128);
    const wantsReply = reader.byte('the flag') !== 0;
    const rule = nodeRequests.get(name);
    if (rule === 'exit' && name === 'exit-signal' && channel.kernel !== null) {
      const signal = textOf(reader.string('the signal', 64));
      reader.byte('the core');
      if (channel.kernel.takesSignal(signal, textOf(reader.string('the message', MAX_ORDER_BYTES)))) return;
      channel.kernel.complete();
      channel.tap?.recorder.exit(signal);
    } else if (rule === 'report' && channel.kernel !== null && !wantsReply) {
      return channel.kernel.takesRequest(textOf(reader.string('the report', MAX_ORDER_BYTES)));
    } else if (rule === 'exit') {
      channel.kernel?.complete();
      channel.tap?.recorder.exit(name === 'exit-status' ? reader.uint32('the status') : textOf(reader.string('the signal', 64)));
    } else if (rule !== 'pass') {
      if (wantsReply) this.#sides.node.send(message.failure(channel.nodeId));
      return;
    }
    this.#sides.toClient(channel, payload);
  }

  #openFromNode(payload: Buffer): void {
    const reader = readerOf(payload);
    const rule = nodeChannels.get(reader.utf8('the channel type', 64));
    const id = reader.uint32('the channel');
    reader.uint32('the window');
    reader.uint32('the packet size');
    // A node may open only channels that the client asked it for.
    const asked =
      rule === 'agent'
        ? this.#sides.agent && this.#sides.permissions.agentForwarding
        : this.#sides.listening && rule !== undefined && refuseListening(this.#sides.permissions.forwarding, rule === 'socket') === null;
    if (!asked) return this.#sides.node.send(message.openFailure(id, OPEN_REFUSED.prohibited, 'nobody requested this'));
    if (this.#sides.channels.all.size >= MAX_CHANNELS)
      return this.#sides.node.send(message.openFailure(id, OPEN_REFUSED.shortage, 'too many channels'));
    const request =
      rule === 'agent'
        ? { direction: 'agent' as const, address: 'agent', port: 0, socket: false, originAddress: '', originPort: 0 }
        : forwardRequest(reader, rule === 'tcp', 'remote');
    const channel = this.#sides.channels.add({ kind: 'forward', request }, 'node', id, 0);
    this.#sides.openForward(channel, request, this.#sides.node, this.#sides.client, payload);
  }

  #globalFromNode(payload: Buffer): void {
    const reader = readerOf(payload);
    const rule = nodeGlobals.get(reader.utf8('the request', 128));
    const wantsReply = reader.byte('the flag') !== 0;
    if (rule === 'pass') return this.#sides.client.send(payload);
    if (wantsReply) this.#sides.node.send(message.requestFailure());
  }

  #globalAnswer(payload: Buffer): void {
    const request = this.#sides.globals.shift();
    if (request === undefined) return;
    this.#sides.client.send(payload);
    if (request === null || payload[0] !== MSG.requestSuccess) return;
    const port = request.port === 0 && payload.length >= 5 ? payload.readUInt32BE(1) : request.port;
    this.#sides.whenRecorded(
      this.#sides.node,
      () => this.#sides.forwards.listening(request.address, port),
      (error) => this.#sides.end(error),
    );
  }
}
