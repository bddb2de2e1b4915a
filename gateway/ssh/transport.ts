/**
 * One side of one SSH transport (RFC 4253): key exchange and packets by ssh2's `Protocol`, everything above as raw
 * messages. ssh2's client and server classes are left aside: their streams copy, buffer and reinterpret what a gateway
 * should pass on unchanged.
 *
 *     keying ──secured──► open ──disconnect, error, closed──► closed
 *
 * Reading may be held for several reasons at once; messages that are parsed already wait in order. Messages handed on
 * are views of the memory that is read into: good until the handler returns, or copied.
 * Limits: a packet is at most 35,000 bytes (ssh2); held messages are those of one read, at most.
 * Relies on internals of ssh2 1.17.0, which package-lock pins and `patches/` patches. Tested by gateway.test.ts with
 * stock clients and servers, rekeying included.
 */
import Protocol from 'ssh2/lib/protocol/Protocol.js';
import ssh2Crypto from 'ssh2/lib/protocol/crypto.js';
import ssh2Utils from 'ssh2/lib/protocol/utils.js';
import type { ParsedKey } from 'ssh2';
import { SshWriter } from '#schemas/ssh/wire.js';
import { MSG } from './messages.js';
import { gcmPacket } from './packets.js';
import { clientOffer, knowsGcm, PATIENCE_MS, serverOffer } from './offer.js';
import { HIGH_WATER } from './wire.js';
import type { Wire } from './wire.js';

export type TransportSide =
  | { readonly kind: 'server'; readonly hostKeys: Readonly<Record<string, ParsedKey>> }
  | { readonly kind: 'client'; readonly hostVerifier: (key: Buffer, decide: (accepted: boolean) => void) => void };

export interface TransportEvents {
  /** The first key exchange is done. */
  secured(): void;
  /** A message of a service: types 5, 6 and 50 and above. */
  message(payload: Buffer): void;
  /** Every message of one read was told. */
  read?(): void;
  /** `congested` is false again. */
  drained(): void;
  /** Once; nothing follows. `reason` is what the other side said or did wrong, if anything. */
  closed(reason: string | undefined): void;
}

/** Why nothing is read: bits, since several may hold at once. */
export const HOLD = { congestion: 1, recorder: 2, dial: 4, spool: 8, window: 16, pace: 32 } as const;
export type Hold = (typeof HOLD)[keyof typeof HOLD];

/** Resolves when ciphers can be used. */
export const cryptoReady: Promise<void> = ssh2Crypto.init;
const IDENT = 'Steno';
/** The compiled ones; without them ssh2 splits packets differently. */
const gcmClasses: ReadonlySet<string> = new Set(['AESGCMCipherBinding', 'AESGCMDecipherBinding']);

export class Transport {
  readonly #wire: Wire;
  readonly #protocol: Protocol;
  /** Whoever is in charge now; changes hands when a client is admitted or a node reached. */
  events: TransportEvents;
  #holds = 0;
  #held: Buffer[] = [];
  #delivering = false;
  /** A client's first bytes, until its list of algorithms is whole. */
  #preamble: { bytes: Buffer; readonly hostKeys: readonly string[]; readonly timer: NodeJS.Timeout } | undefined;
  #secured = false;
  #closed = false;
  #reason: string | undefined;
  /** What the other side calls itself, for example `OpenSSH_9.2p1`; bounded, printable ASCII. */
  software = '';
  /** What a node said while it let a user in (RFC 4252 section 5.4); whoever authenticates puts it here. */
  banner = '';

  constructor(wire: Wire, side: TransportSide, events: TransportEvents) {
    this.#wire = wire;
    this.events = events;
    this.#protocol = new Protocol({
      ...(side.kind === 'server'
        ? { server: true, hostKeys: side.hostKeys, offer: serverOffer(Object.keys(side.hostKeys), false) }
        : { hostVerifier: side.hostVerifier, offer: clientOffer() }),
      ident: IDENT,
      onWrite: (bytes) => this.#wire.send(typeof bytes === 'string' ? Buffer.from(bytes) : bytes),
      onError: (error) => this.#fail(error),
      onHeader: ({ versions }) => {
        this.software = versions.software.replace(/[^!-~]/g, '').slice(0, 64);
      },
      onHandshakeComplete: () => {
        this.#packInPlace();
        if (this.#secured) return this.events.drained();
        this.#secured = true;
        this.events.secured();
      },
      messageHandlers: {
        DISCONNECT: (_protocol, reason, text) => {
          this.#reason ??= reason === MSG.disconnectByApplication ? undefined : String(text).slice(0, 256);
          this.#wire.end();
        },
      },
    });
    const transportMessage = this.#protocol._onPayload;
    this.#protocol._onPayload = (payload) => {
      const type = payload[0] ?? 0;
      if (type < 50 && type !== MSG.serviceRequest && type !== MSG.serviceAccept) return transportMessage(Buffer.from(payload));
      if (this.#holds === 0 && !this.#delivering) this.#deliver(payload);
      else this.#held.push(Buffer.from(payload));
      return undefined;
    };
    wire.attach({
      bytes: (chunk) => (this.#preamble === undefined ? this.#parse(chunk) : this.#collect(chunk)),
      drained: () => {
        if (!this.congested) this.events.drained();
      },
      closed: () => this.#close(),
    });
    if (side.kind === 'server') {
      const hostKeys = Object.keys(side.hostKeys);
      const timer = setTimeout(() => this.#begin(hostKeys, false), PATIENCE_MS);
      this.#preamble = { bytes: Buffer.alloc(0), hostKeys, timer };
    }
    this.#protocol.start();
  }

  get sessionId(): Buffer {
    return this.#protocol._kex.sessionID;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes that wait to leave; while keys are exchanged nothing leaves at all. */
  get pressure(): number {
    return this.#protocol._kexinit === undefined ? this.#wire.queued : HIGH_WATER + 1;
  }

  /** Nothing more should be sent until `drained`. */
  get congested(): boolean {
    return this.pressure > HIGH_WATER;
  }

  send(payload: Uint8Array): void {
    this.sendParts(payload.length, (packet, at) => packet.set(payload, at));
  }

  /** Sends a message of `length` bytes that `fill` writes into its packet: one copy less. */
  sendParts(length: number, fill: (packet: Buffer, at: number) => void): void {
    if (this.#closed || !this.#protocol._destruct) return;
    const { write } = this.#protocol._packetRW;
    const at = write.allocStart;
    const packet = write.alloc(length);
    fill(packet, at);
    ssh2Utils.sendPacket(this.#protocol, write.finalize(packet));
  }

  /** What was sent leaves now: something that takes long, and can wait, follows in this turn of the event loop. */
  flush(): void {
    this.#wire.flush?.();
  }

  hold(reason: Hold): void {
    if (this.#holds === 0) this.#wire.pause();
    this.#holds |= reason;
  }

  release(reason: Hold): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    this.#resume();
  }

  /** Ends in peace. */
  end(): void {
    this.disconnect(MSG.disconnectByApplication, '');
  }

  /** Says goodbye with a text that OpenSSH, PuTTY and Dropbear print, and closes. */
  disconnect(reason: number, text: string): void {
    if (this.#closed || !this.#protocol._destruct) return;
    const payload = new SshWriter().byte(MSG.disconnect).uint32(reason).utf8(text).utf8('').bytes();
    const { write } = this.#protocol._packetRW;
    const at = write.allocStartKEX;
    const packet = write.alloc(payload.length, true);
    packet.set(payload, at);
    ssh2Utils.sendPacket(this.#protocol, write.finalize(packet, true), true);
    this.#wire.end();
  }

  destroy(): void {
    this.#wire.destroy();
  }

  #collect(chunk: Buffer): void {
    const preamble = this.#preamble!;
    preamble.bytes = Buffer.concat([preamble.bytes, chunk]);
    const fastOnly = knowsGcm(preamble.bytes);
    if (fastOnly !== undefined) this.#begin(preamble.hostKeys, fastOnly);
  }

  #begin(hostKeys: readonly string[], fastOnly: boolean): void {
    const preamble = this.#preamble;
    if (preamble === undefined) return;
    this.#preamble = undefined;
    clearTimeout(preamble.timer);
    this.#protocol._offer = serverOffer(hostKeys, fastOnly);
    if (preamble.bytes.length > 0) this.#parse(preamble.bytes);
  }

  #parse(chunk: Buffer): void {
    if (!this.#protocol._destruct) return;
    try {
      // Other ciphers, and none, may keep views of what they are given; so does a key exchange, to its end.
      const inPlace = isGcm(this.#protocol._decipher) && this.#protocol._kexinit === undefined;
      this.#protocol.parse(inPlace ? chunk : Buffer.from(chunk), 0, chunk.length);
      // AES-GCM does so too, with a packet whose tag has not come.
      const { _decipher: decipher } = this.#protocol;
      if (decipher?._packet?.buffer === chunk.buffer) decipher._packet = Buffer.from(decipher._packet);
    } catch (error) {
      this.#fail(error);
    }
    this.#read();
  }

  /** From now on packets are made where they leave from. */
  #packInPlace(): void {
    const cipher = this.#protocol._cipher;
    if (!isGcm(cipher)) return;
    const reserve = (length: number): Buffer => this.#wire.reserve(length);
    cipher.allocPacket = (length) => gcmPacket(length, reserve);
  }

  #deliver(payload: Buffer): void {
    try {
      this.events.message(payload);
    } catch (error) {
      // Whatever the message did, it ends its own connection and no other.
      this.#fail(error);
    }
  }

  #read(): void {
    try {
      this.events.read?.();
    } catch (error) {
      this.#fail(error);
    }
  }

  #resume(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    let next = 0;
    while (this.#holds === 0 && next < this.#held.length) this.#deliver(this.#held[next++]!);
    this.#held.splice(0, next);
    this.#delivering = false;
    this.#read();
    if (this.#holds === 0) this.#wire.resume();
  }

  #fail(error: unknown): void {
    this.#reason ??= (error instanceof Error ? error.message : String(error)).slice(0, 256);
    this.#wire.end();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#held = [];
    clearTimeout(this.#preamble?.timer);
    this.#protocol.cleanup();
    this.events.closed(this.#reason);
  }
}

function isGcm(cipher: object | undefined): boolean {
  return cipher !== undefined && gcmClasses.has(cipher.constructor.name);
}
