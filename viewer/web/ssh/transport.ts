/**
 * The client's side of an SSH transport (RFC 4253) over a stream of bytes, such as a WebSocket.
 *
 *     identifying ──"SSH-2.0-…"──► exchanging ──NEWKEYS both ways──► open ──KEXINIT of either side──► exchanging
 *          └────────────────────────────┴── malformed, refused, stream over, either side leaves ──┴───► closed
 *
 * WebCrypto is asynchronous, so incoming packets are handled in one queue and outgoing ones in another, each in order. During a key
 * exchange nothing else is sent (section 7.1), and messages of callers wait. During the first exchange only key exchange messages may
 * arrive (strict KEX); any other message ends the connection. Limits: packets.ts; `MAX_WAITING` bytes to be sent. After `REKEY_BYTES`
 * in either direction the client requests new keys (section 9). Tested in test/end-to-end/page-ssh.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { PAGE_IDENT } from '#schemas/ssh/page-client.js';
import { SshReader, SshWriter } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG } from '#schemas/ssh/numbers.js';
import { KeyExchange, kexInit } from './key-exchange.js';
import type { HostTrust, SessionKeys } from './key-exchange.js';
import { PacketBuffer, payloadOf, sealed } from './packets.js';
import { hasX25519 } from './web-crypto.js';

export interface ByteStream {
  send(bytes: Uint8Array): void;
  close(): void;
}

export interface TransportEvents {
  /** The first keys are in use, so the other side has proved to be the gateway. */
  secured(): void;
  /** A message for a service: types 6 and 50 and above. It is handled before the next one is read. */
  message(payload: Uint8Array): Promise<void> | void;
  /** Called once; no event follows. Null: this side closed. */
  closed(why: StenoError | DisconnectedBy | null): void;
}

/** DISCONNECT from the other side: its code, and its text, unmodified. */
export interface DisconnectedBy {
  readonly kind: 'disconnected';
  readonly code: number;
  readonly text: string;
}

/** Limit for messages waiting to be sent, in bytes: a large paste, and a window to spare. */
export const MAX_WAITING = 20 << 20;
const REKEY_BYTES = 1 << 30;
const VERSION = `SSH-2.0-${PAGE_IDENT}`;

type Stage =
  | { readonly kind: 'identifying' }
  /**
   * `first`: the connection's first exchange. `own`: our KEXINIT. `exchange`: set once the other side's KEXINIT has arrived. `keys`:
   * set once the reply has been verified; NEWKEYS must come next.
   */
  | {
      readonly kind: 'exchanging';
      readonly first: boolean;
      readonly own: Uint8Array;
      exchange: KeyExchange | null;
      keys: SessionKeys | null;
    }
  | { readonly kind: 'open' }
  /** DISCONNECT is being sent; nothing else is sent or read. */
  | { readonly kind: 'leaving' }
  | { readonly kind: 'closed' };
type Exchanging = Extract<Stage, { readonly kind: 'exchanging' }>;

interface Outgoing {
  readonly payload: Uint8Array;
  /** Everything after this packet uses these keys. */
  readonly keys?: SessionKeys;
  /** Close the stream after this packet. */
  readonly last?: true;
}

export class Transport {
  readonly #stream: ByteStream;
  readonly #trust: HostTrust;
  readonly #events: TransportEvents;
  readonly #in = new PacketBuffer();
  #stage: Stage = { kind: 'identifying' };
  #serverVersion = '';
  #sessionId: Uint8Array | null = null;
  #hostKey: Uint8Array | null = null;
  #seal: SessionKeys['seal'] | null = null;
  #open: SessionKeys['open'] | null = null;
  #curve25519 = false;
  #started = false;
  /** Packets received since the last NEWKEYS, for UNIMPLEMENTED (strict KEX resets the count). */
  #received = 0;
  #sinceKeys = 0;
  /** Key exchange messages, and others that may be sent during an exchange. */
  readonly #urgent: Outgoing[] = [];
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #reading = false;
  #writing = false;
  #last: Promise<void> = Promise.resolve();

  constructor(stream: ByteStream, trust: HostTrust, events: TransportEvents) {
    this.#stream = stream;
    this.#trust = trust;
    this.#events = events;
  }

  /** Sends our identification. */
  async start(): Promise<void> {
    this.#curve25519 = await hasX25519();
    if (this.closed) return;
    this.#stream.send(new TextEncoder().encode(`${VERSION}\r\n`));
    // Bytes that arrived earlier are read now, after our identification was sent.
    this.#started = true;
    void this.#read();
  }

  /** Session id, from the first key exchange; user authentication signs it. */
  get sessionId(): Uint8Array {
    if (this.#sessionId === null) throw new StenoError('INTERNAL', 'there are no keys yet');
    return this.#sessionId;
  }

  /** The host certificate from the last key exchange. */
  get hostKey(): Uint8Array {
    if (this.#hostKey === null) throw new StenoError('INTERNAL', 'there are no keys yet');
    return this.#hostKey;
  }

  get closed(): boolean {
    return this.#stage.kind === 'closed' || this.#stage.kind === 'leaving';
  }

  receive(bytes: Uint8Array): void {
    if (this.closed) return;
    this.#in.put(bytes);
    this.#sinceKeys += bytes.length;
    void this.#read();
  }

  /** The stream has ended, for this reason. Bytes that arrived before are handled first. */
  ended(why: StenoError): void {
    void this.#read().then(() => this.#close(why));
  }

  send(payload: Uint8Array): void {
    if (this.closed) return;
    this.#waitingBytes += payload.length;
    if (this.#waitingBytes > MAX_WAITING) return this.#close(new StenoError('SSH_PROTOCOL', 'it does not read what is sent'));
    this.#waiting.push(payload);
    void this.#write();
  }

  /** Requests new keys. */
  rekey(): void {
    if (this.#stage.kind === 'open') this.#beginExchange();
  }

  /** Sends DISCONNECT, then closes. */
  disconnect(code: number, text: string): void {
    this.#leave(code, text, null);
  }

  /** Runs once at a time, so that packets are handled in order. */
  #read(): Promise<void> {
    if (this.#reading || !this.#started) return this.#last;
    this.#reading = true;
    this.#last = this.#readAll().catch((error: unknown) => this.#fail(error));
    return this.#last;
  }

  async #readAll(): Promise<void> {
    try {
      if (this.#stage.kind === 'identifying') {
        const version = this.#in.identification();
        if (version === null) return;
        this.#serverVersion = version;
        this.#beginExchange();
      }
      while (!this.closed) {
        const packet = this.#in.next(this.#open !== null);
        if (packet === null) return;
        const body =
          this.#open === null
            ? packet.body
            : await this.#open.decrypt(packet.body, packet.length).catch(() => {
                throw new StenoError('SSH_PROTOCOL', 'a packet was altered on its way');
              });
        await this.#message(payloadOf(body));
        this.#received += 1;
        if (this.#sinceKeys > REKEY_BYTES) this.rekey();
      }
    } finally {
      // Reset this in the same turn in which the buffer was found empty: later bytes must start a new reader.
      this.#reading = false;
    }
  }

  async #message(payload: Uint8Array): Promise<void> {
    const type = payload[0]!;
    if (this.closed) return;
    if (type === MSG.disconnect) return this.#disconnected(payload);
    if (this.#stage.kind === 'exchanging') {
      const { first } = this.#stage;
      if (type >= MSG.kexInit && type < MSG.userauthRequest) return this.#exchange(this.#stage, payload);
      // Until it sends its own KEXINIT, the other side may send anything, except during the first exchange.
      if (first || (this.#stage.exchange !== null && type > MSG.debug))
        throw new StenoError('SSH_PROTOCOL', `message ${type} in a key exchange`);
    } else if (type === MSG.kexInit) {
      const stage = this.#beginExchange();
      return this.#exchange(stage, payload);
    }
    if (type === MSG.ignore || type === MSG.debug || type === MSG.unimplemented || type === MSG.extInfo) return;
    if (type === MSG.serviceAccept || type >= MSG.userauthRequest) return this.#events.message(payload);
    this.unimplemented();
  }

  /** Answers the current message with UNIMPLEMENTED (RFC 4253 section 11.4). */
  unimplemented(): void {
    this.send(
      new SshWriter()
        .byte(MSG.unimplemented)
        .uint32(this.#received >>> 0)
        .bytes(),
    );
  }

  #beginExchange(): Exchanging {
    const first = this.#sessionId === null;
    const own = kexInit(first, this.#curve25519);
    const stage: Exchanging = { kind: 'exchanging', first, own, exchange: null, keys: null };
    this.#stage = stage;
    this.#urgent.push({ payload: own });
    void this.#write();
    return stage;
  }

  async #exchange(stage: Exchanging, payload: Uint8Array): Promise<void> {
    const type = payload[0]!;
    const { first } = stage;
    if (type === MSG.kexInit && stage.exchange === null) {
      // With strict KEX, the first packet of the server must be its KEXINIT.
      if (first && this.#received > 0) throw new StenoError('SSH_PROTOCOL', 'a message came before the key exchange');
      stage.exchange = await KeyExchange.begin(
        { clientVersion: VERSION, serverVersion: this.#serverVersion, clientInit: stage.own, serverInit: payload.slice() },
        first,
      );
      this.#urgent.push({ payload: stage.exchange.init });
      return void this.#write();
    }
    if (type === MSG.ecdhReply && stage.exchange !== null && stage.keys === null) {
      const { keys, sessionId, hostKey } = await stage.exchange.finish(payload, this.#trust, this.#sessionId);
      stage.keys = keys;
      this.#sessionId = sessionId;
      this.#hostKey = hostKey.slice();
      this.#urgent.push({ payload: Uint8Array.of(MSG.newKeys), keys });
      return void this.#write();
    }
    if (type === MSG.newKeys && stage.keys !== null && payload.length === 1) {
      this.#open = stage.keys.open;
      // Strict KEX resets the count, which becomes zero after this packet.
      this.#received = -1;
      this.#sinceKeys = 0;
      this.#stage = { kind: 'open' };
      if (first) this.#events.secured();
      return void this.#write();
    }
    throw new StenoError('SSH_PROTOCOL', `message ${type} out of its turn in a key exchange`);
  }

  /** Runs once at a time: the IV of each packet follows from the previous one. */
  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      for (;;) {
        const next = this.#urgent.shift() ?? this.#nextWaiting();
        if (next === undefined) return;
        const packet = await sealed(next.payload, this.#seal);
        if (this.#stage.kind === 'closed') return;
        if (next.keys !== undefined) this.#seal = next.keys.seal;
        this.#sinceKeys += packet.length;
        this.#stream.send(packet);
        if (next.last === true) return this.#shut();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#writing = false;
    }
  }

  #nextWaiting(): Outgoing | undefined {
    if (this.#stage.kind !== 'open') return undefined;
    const payload = this.#waiting.shift();
    this.#waitingBytes -= payload?.length ?? 0;
    return payload === undefined ? undefined : { payload };
  }

  #disconnected(payload: Uint8Array): void {
    const reader = new SshReader(payload, 'SSH_PROTOCOL');
    reader.byte('the type');
    const code = reader.uint32('the reason');
    const text = new TextDecoder().decode(reader.string('the text', 4096));
    this.#close({ kind: 'disconnected', code, text });
  }

  #fail(error: unknown): void {
    const known = error instanceof StenoError ? error : new StenoError('INTERNAL', error instanceof Error ? error.message : undefined);
    this.#leave(known.code === 'GATEWAY_HOST_KEY' ? DISCONNECT.hostKeyNotVerifiable : DISCONNECT.protocolError, known.code, known);
  }

  /** Sends DISCONNECT, without waiting for the other side to read it, and closes. */
  #leave(code: number, text: string, why: StenoError | null): void {
    if (this.closed) return;
    const payload = new SshWriter().byte(MSG.disconnect).uint32(code).utf8(text).utf8('').bytes();
    this.#stage = { kind: 'leaving' };
    this.#waiting.length = 0;
    this.#urgent.splice(0, Infinity, { payload, last: true });
    void this.#write();
    this.#events.closed(why);
  }

  #close(why: StenoError | DisconnectedBy | null): void {
    if (this.closed) return;
    this.#shut();
    this.#events.closed(why);
  }

  #shut(): void {
    this.#stage = { kind: 'closed' };
    this.#waiting.length = 0;
    this.#urgent.length = 0;
    this.#stream.close();
  }
}
