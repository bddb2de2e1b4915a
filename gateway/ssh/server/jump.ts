/**
 * The outer connection of `ssh -J gateway node`: an admitted user may open channels to port 22 of nodes and nothing else.
 * The gateway terminates the SSH connection inside each of them itself, with a host certificate for the node's name. Limits:
 * `MAX_INNER` inner connections; a channel holds at most `WINDOW` unread bytes. Tested in gateway.test.ts.
 */
import type { Snapshot } from '#schemas/snapshot.js';
import { isName, stripDomain } from '#schemas/base/identity.js';
import { SshReader } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG, OPEN_REFUSED } from '#schemas/ssh/numbers.js';
import { LocalAnswers } from './local-answers.js';
import { message } from '../transport/messages.js';
import { Outbox } from '../../edge/outbox.js';
import { explain } from '../../sessions/refusal.js';
import type { Transport } from '../transport/transport.js';
import { HIGH_WATER } from '../../edge/socket-wire.js';
import type { Wire, WireEvents } from '../../edge/socket-wire.js';

const MAX_INNER = 64;
const WINDOW = 1024 * 1024;
const MAX_PACKET = 32 * 1024;
/** Milliseconds for the last messages of inner connections (relay.ts allows a little less). */
const INNER_LAST_MESSAGES_MS = 2_000;
const usage = ['steno: this is the gateway; name the node to connect to:', 'steno: ssh -J GATEWAY LOGIN@NODE, or ssh LOGIN@NODE@GATEWAY'];

export interface JumpDeps {
  snapshot(): Snapshot | null;
  /** Whether the user's certificate has expired: existing inner connections have their own, but no new ones begin. */
  expired(): boolean;
  draining(): boolean;
  /** Called with a new connection for `node`, which arrived through a channel. */
  enter(wire: Wire, node: string): void;
}

export class Jump {
  readonly #client: Transport;
  readonly #deps: JumpDeps;
  readonly #channels = new Map<number, ChannelWire>();
  readonly #local: LocalAnswers;
  #ids = 0;
  #ending: { readonly last: () => void; readonly timer: NodeJS.Timeout } | undefined;

  constructor(client: Transport, deps: JumpDeps) {
    this.#client = client;
    this.#deps = deps;
    this.#local = new LocalAnswers(client, usage, () => this.#ids++, true);
  }

  message(payload: Buffer): void {
    const type = payload[0]!;
    if (type === MSG.channelOpen) return this.#open(payload);
    if (type < MSG.channelWindowAdjust || type > MSG.channelRequest) return this.#local.message(payload);
    const reader = new SshReader(payload, 'BAD_REQUEST');
    reader.byte('the type');
    const id = reader.uint32('the channel');
    const channel = this.#channels.get(id);
    if (channel === undefined) return this.#local.message(payload);
    switch (type) {
      case MSG.channelData: {
        const length = reader.uint32('the data');
        return channel.receive(payload.subarray(9, 9 + length));
      }
      case MSG.channelWindowAdjust:
        return channel.adjust(reader.uint32('the bytes'));
      case MSG.channelEof:
        return channel.end();
      case MSG.channelClose:
        this.#channels.delete(id);
        channel.closedByClient();
        if (this.#channels.size === 0) this.#ending?.last();
        return undefined;
      default:
        return undefined;
    }
  }

  /** Opens no more channels; calls `last` once the inner connections, which print their own messages, have closed. */
  end(last: () => void): void {
    if (this.#ending !== undefined) return;
    this.#ending = { last, timer: setTimeout(last, this.#channels.size === 0 ? 0 : INNER_LAST_MESSAGES_MS) };
  }

  drained(): void {
    for (const channel of this.#channels.values()) channel.flush();
  }

  closed(): void {
    this.#local.closed();
    clearTimeout(this.#ending?.timer);
    const channels = [...this.#channels.values()];
    this.#channels.clear();
    for (const channel of channels) channel.closedByClient();
  }

  #open(payload: Buffer): void {
    const reader = new SshReader(payload, 'BAD_REQUEST');
    reader.byte('the type');
    if (reader.utf8('the channel type', 64) !== 'direct-tcpip') return this.#local.message(payload);
    const clientId = reader.uint32('the channel');
    const window = reader.uint32('the window');
    const maxPacket = reader.uint32('the packet size');
    const host = Buffer.from(reader.string('the host', 1024)).toString();
    const port = reader.uint32('the port');
    const refuse = (reason: number, lines: readonly string[]): void =>
      this.#client.send(message.openFailure(clientId, reason, lines.join(' ')));
    const node = stripDomain(host);
    const snapshot = this.#deps.snapshot();
    if (snapshot === null) return refuse(OPEN_REFUSED.connectFailed, explain('AUTHORITY_UNREACHABLE'));
    if (!isName(node) || !snapshot.nodes.some(({ name }) => name === node))
      return refuse(OPEN_REFUSED.connectFailed, explain('NODE_UNKNOWN', host));
    if (port !== 22)
      return refuse(
        OPEN_REFUSED.prohibited,
        explain('ACCESS_DENIED', `only port 22 of a node can be reached through the gateway, not ${port}`),
      );
    if (this.#deps.expired()) return refuse(OPEN_REFUSED.prohibited, explain('CERT_EXPIRED'));
    if (this.#ending !== undefined || this.#deps.draining()) return refuse(OPEN_REFUSED.prohibited, explain('DRAINING'));
    if (this.#channels.size >= MAX_INNER)
      return refuse(OPEN_REFUSED.shortage, explain('TOO_MANY', `more than ${MAX_INNER} connections through one`));
    const id = this.#ids++;
    const wire = new ChannelWire(this.#client, clientId, window, Math.min(maxPacket, MAX_PACKET));
    this.#channels.set(id, wire);
    this.#client.send(message.openConfirmation(clientId, id, WINDOW, MAX_PACKET));
    this.#deps.enter(wire, node);
  }
}

/** A channel as the byte stream of an inner connection. */
class ChannelWire implements Wire {
  readonly #outer: Transport;
  readonly #clientId: number;
  readonly #maxPacket: number;
  #window: number;
  #events: WireEvents | undefined;
  readonly #out = new Outbox();
  #in: Buffer[] = [];
  #unacknowledged = 0;
  #paused = false;
  #scheduled = false;
  #congested = false;
  #ending = false;
  #closed = false;

  constructor(outer: Transport, clientId: number, window: number, maxPacket: number) {
    this.#outer = outer;
    this.#clientId = clientId;
    this.#window = window;
    this.#maxPacket = maxPacket;
  }

  get queued(): number {
    const queued = this.#out.length + this.#outer.pressure;
    if (queued > HIGH_WATER) this.#congested = true;
    return queued;
  }

  attach(events: WireEvents): void {
    this.#events = events;
    if (this.#closed) return process.nextTick(events.closed);
    process.nextTick(() => this.#drainIn());
  }

  reserve(length: number): Buffer {
    return this.#out.reserve(length);
  }

  send(bytes: Buffer): void {
    if (this.#closed || this.#ending) return;
    this.#out.put(bytes);
    if (this.#scheduled) return;
    // Inner packets made from one read leave in outer packets of maximum size.
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  flush(): void {
    while (this.#out.length > 0 && this.#window > 0 && !this.#closed)
      this.#sendPacket(Math.min(this.#out.length, this.#window, this.#maxPacket));
    if (this.#ending && this.#out.length === 0 && !this.#closed) this.#close();
    if (this.#congested && this.queued <= HIGH_WATER / 2) {
      this.#congested = false;
      this.#events?.drained();
    }
  }

  adjust(bytes: number): void {
    this.#window = Math.min(0xffff_ffff, this.#window + bytes);
    this.flush();
  }

  receive(bytes: Buffer): void {
    this.#unacknowledged += bytes.length;
    if (this.#unacknowledged > WINDOW) {
      this.#outer.disconnect(DISCONNECT.protocolError, 'the window is exceeded');
      return;
    }
    if (this.#paused || this.#events === undefined || this.#in.length > 0) {
      this.#in.push(Buffer.from(bytes));
      return;
    }
    this.#events.bytes(bytes);
    this.#acknowledge();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#drainIn();
  }

  end(): void {
    if (this.#ending || this.#closed) return;
    this.#ending = true;
    process.nextTick(() => this.flush());
  }

  destroy(): void {
    this.#close();
  }

  closedByClient(): void {
    this.#close();
  }

  #sendPacket(length: number): void {
    this.#window -= length;
    this.#outer.sendParts(9 + length, (packet, start) => {
      packet[start] = MSG.channelData;
      packet.writeUInt32BE(this.#clientId, start + 1);
      packet.writeUInt32BE(length, start + 5);
      this.#out.take(packet, start + 9, length);
    });
  }

  #drainIn(): void {
    while (!this.#paused && this.#in.length > 0) this.#events?.bytes(this.#in.shift()!);
    if (!this.#paused) this.#acknowledge();
  }

  /** Grants the client window for the bytes read, in few messages. */
  #acknowledge(): void {
    if (this.#unacknowledged < WINDOW / 2 || this.#closed) return;
    this.#outer.send(message.windowAdjust(this.#clientId, this.#unacknowledged));
    this.#unacknowledged = 0;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#out.clear();
    this.#in = [];
    if (!this.#outer.closed) {
      this.#outer.send(message.eof(this.#clientId));
      this.#outer.send(message.close(this.#clientId));
    }
    const events = this.#events;
    if (events !== undefined) process.nextTick(events.closed);
  }
}
