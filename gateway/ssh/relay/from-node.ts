/**
 * Messages of the node, on their way to the client. Tested in ../server/gateway.test.ts and forwarding.test.ts.
 *
 * A terminal's output comes in packets of a line or two. Those of one read are recorded and sent on as one: the same bytes
 * in fewer, larger messages. A terminal that prints more than anybody reads is read from every `PACE_MS` only, so that there
 * is more in each read; what is typed, its echo, and screens that are drawn are not that much. Limits: a message is as large as
 * the client takes, and nothing waits here beyond the read.
 */
import { MAX_ORDER_BYTES } from '#schemas/kernel/orders.js';
import { refuseListening } from '#schemas/policy/forwarding.js';
import { MAX_CHANNELS } from './channels.js';
import type { Channel } from './channels.js';
import { message, MSG, OPEN_REFUSED } from '../transport/messages.js';
import { dataOf, forwardRequest, readerOf, textOf } from './message-fields.js';
import type { Sides } from './sides.js';
import { nodeChannels, nodeGlobals, nodeRequests } from './request-rules.js';
import { HOLD } from '../transport/transport.js';

/** A terminal is paced beyond `FLOOD_BYTES` at once, of which it may print `CALM_BYTES` more in each ms. */
const FLOOD_BYTES = 32 * 1024;
const CALM_BYTES = 1024;
const PACE_MS = 2;
/** A read of so much needs no pace. */
const AMPLE_BYTES = 64 * 1024;
/** Messages from this size on are not worth a copy. */
const LARGE = 16 * 1024;
/** What fits into a message. One for all connections: it is empty again at the end of each read. */
const gathered = Buffer.allocUnsafeSlow(32 * 1024);
let gatheredBy: FromNode | null = null;

export class FromNode {
  readonly #sides: Sides;
  #channel: Channel | null = null;
  #length = 0;
  /** Terminal output of this read, and what counts towards the flood. */
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
        if (type >= MSG.globalRequest) this.#sides.node.disconnect(MSG.disconnectProtocolError, 'steno: unknown message');
    }
  }

  /** Everything of one read was told. */
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

  /** What was gathered goes on: at the end of each read, and before anything that must come after it. */
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

  /** Whether a session is there to show it and has room; else it waits (`late`), or has no meaning and no recording. */
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

  /** Before it is shown. */
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
    // A node opens what the client asked it for, and no more.
    const asked =
      rule === 'agent'
        ? this.#sides.agent && this.#sides.permissions.agentForwarding
        : this.#sides.listening && rule !== undefined && refuseListening(this.#sides.permissions.forwarding, rule === 'socket') === null;
    if (!asked) return this.#sides.node.send(message.openFailure(id, OPEN_REFUSED.prohibited, 'nobody asked for this'));
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
