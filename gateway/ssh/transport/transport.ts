/**
 * One side of one SSH transport (RFC 4253): ssh2's `Protocol` does key exchange and packets, and everything above is raw
 * messages. ssh2's client and server classes are not used: their streams copy, buffer and reinterpret bytes that a gateway
 * should pass on unchanged.
 *
 *     keying ──secured──► open ──disconnect, error, closed──► closed
 *
 * Reading may be held for several reasons at once; messages already parsed wait in order. Delivered messages are views of
 * the read buffer, valid until the handler returns unless copied. Limits: a packet is at most 256 KiB, as in OpenSSH (ssh2,
 * patched); held messages amount to one read plus one packet at most, and to `MAX_HELD_BYTES` during a key exchange. Relies
 * on internals of ssh2 1.17.0, which package-lock pins and `patches/` patches. Tested by ../server/gateway.test.ts with
 * stock clients and servers, rekeying included.
 */
import Protocol from 'ssh2/lib/protocol/Protocol.js';
import ssh2Crypto from 'ssh2/lib/protocol/crypto.js';
import ssh2Utils from 'ssh2/lib/protocol/utils.js';
import { capabilitiesIn } from '#schemas/ssh/capabilities.js';
import { EXTENSION_HOSTBOUND } from '#schemas/ssh/user-auth.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG } from '#schemas/ssh/numbers.js';
import { gcmPacket } from './gcm-packets.js';
import type { KeysByName, ShownHostKeys } from './host-keys.js';
import { clientOffer, PATIENCE_MS, readClientOffer, serverOffer } from './kex-offer.js';
import { SLAB_BYTES } from '../../edge/outbox.js';
import { HIGH_WATER } from '../../edge/socket-wire.js';
import type { Wire } from '../../edge/socket-wire.js';

export type TransportSide =
  | { readonly kind: 'server'; readonly hostKeys: ShownHostKeys }
  | { readonly kind: 'client'; readonly hostVerifier: (key: Buffer, decide: (accepted: boolean) => void) => void };

export interface TransportEvents {
  /** The first key exchange is complete. */
  secured(): void;
  /** A message of a service: types 5, 6 and 50 and above. */
  message(payload: Buffer): void;
  /** Every message of one read has been delivered. */
  read?(): void;
  /** `congested` is false again. */
  drained(): void;
  /** Called once; no event follows. `reason`: the other side's stated reason or protocol error, if any. */
  closed(reason: string | undefined): void;
}

/** Reasons for not reading: bits, since several may apply at once. */
export const HOLD = { congestion: 1, recorder: 2, dial: 4, spool: 8, window: 16, pace: 32, nodeWindow: 64 } as const;
export type Hold = (typeof HOLD)[keyof typeof HOLD];

/** Resolves when the ciphers are ready. */
export const cryptoReady: Promise<void> = ssh2Crypto.init;
/**
 * Identification sent to clients: libraries choose the order of SFTP's SYMLINK arguments by "OpenSSH" here, and the servers
 * behind the gateway use OpenSSH's order (docs/decisions/0042-banner.md explains the version). To nodes the gateway does not
 * identify as an OpenSSH client.
 */
export const SERVER_IDENT = 'OpenSSH_9.9 Steno';
const CLIENT_IDENT = 'Steno';
/** The same as `MAX_PACKET_SIZE` of the patched ssh2. */
const MAX_PACKET_BYTES = 256 * 1024;
/** The compiled implementations; the others make ssh2 split packets differently. */
const gcmClasses: ReadonlySet<string> = new Set(['AESGCMCipherBinding', 'AESGCMDecipherBinding']);

/** More than a client may send into the windows of a few channels. */
const MAX_HELD_BYTES = 8 << 20;

export class Transport {
  readonly #wire: Wire;
  readonly #protocol: Protocol;
  /** The current handler; replaced when a client is admitted or a node reached. */
  events: TransportEvents;
  #holds = 0;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #reads = true;
  #delivering = false;
  /** A client's first bytes, until its algorithm list is complete. */
  #preamble: { bytes: Buffer; readonly hostKeys: ShownHostKeys; readonly timer: NodeJS.Timeout } | undefined;
  #secured = false;
  #highWater = HIGH_WATER;
  /** The disconnect message was sent; further input is not read. */
  #leaving = false;
  #closed = false;
  #reason: string | undefined;
  #hostKey: Buffer | undefined;
  /** The other side's software identification, for example `OpenSSH_9.2p1`; bounded, printable ASCII. */
  software = '';
  /** Capabilities that a node announced before authentication (schemas/ssh/capabilities.ts). */
  capabilities: ReadonlySet<string> = new Set();
  /** The node's login banner (RFC 4252 section 5.4); set by the code that authenticates. */
  banner = '';

  constructor(wire: Wire, side: TransportSide, events: TransportEvents) {
    this.#wire = wire;
    this.events = events;
    this.#protocol = new Protocol({
      ...(side.kind === 'server'
        ? { server: true, hostKeys: side.hostKeys.ready, offer: serverOffer(Object.keys(side.hostKeys.ready), false) }
        : { hostVerifier: side.hostVerifier, offer: clientOffer() }),
      ident: side.kind === 'server' ? SERVER_IDENT : CLIENT_IDENT,
      onWrite: (bytes) => this.#wire.send(typeof bytes === 'string' ? Buffer.from(bytes) : bytes),
      onError: (error) => this.#fail(error),
      onHeader: ({ versions }) => {
        this.software = versions.software.replace(/[^!-~]/g, '').slice(0, 64);
      },
      onHandshakeComplete: () => {
        this.#packInPlace();
        if (this.#secured) return this.events.drained();
        this.#secured = true;
        const shown = this.#protocol._hostKeys?.[this.#protocol._kex.negotiated.serverHostKey];
        if (side.kind === 'server' && shown !== undefined) this.#hostKey = Buffer.from(shown.getPublicSSH());
        this.events.secured();
      },
      messageHandlers: {
        DISCONNECT: (_protocol, reason, text) => {
          this.#reason ??= reason === DISCONNECT.byApplication ? undefined : String(text).slice(0, 256);
          this.#wire.end();
        },
      },
    });
    if (side.kind === 'server') this.#protocol._extInfo = EXTENSION_HOSTBOUND;
    const transportMessage = this.#protocol._onPayload;
    this.#protocol._onPayload = (payload) => {
      if (this.#leaving) return undefined;
      const type = payload[0] ?? 0;
      if (type < 50 && type !== MSG.serviceRequest && type !== MSG.serviceAccept) {
        // ssh2 keeps only `server-sig-algs` from this message.
        if (type === MSG.extInfo && side.kind === 'client') this.capabilities = capabilitiesIn(payload);
        return transportMessage(Buffer.from(payload));
      }
      if (this.#holds === 0 && !this.#delivering) this.#deliver(payload);
      else {
        this.#held.push(Buffer.from(payload));
        this.#heldBytes += payload.length;
      }
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
      const { hostKeys } = side;
      const timer = setTimeout(() => this.#begin(hostKeys.ready, false), PATIENCE_MS);
      this.#preamble = { bytes: Buffer.alloc(0), hostKeys, timer };
    }
    this.#protocol.start();
  }

  get sessionId(): Buffer {
    return this.#protocol._kex.sessionID;
  }

  /** The key or certificate that the server showed in the first key exchange. */
  get hostKey(): Buffer | undefined {
    return this.#hostKey;
  }

  /** Why the connection ended or will end: our own disconnect, or the other side's reason or protocol error. */
  get reason(): string | undefined {
    return this.#reason;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes waiting to be sent; during a key exchange nothing is sent at all. */
  get pressure(): number {
    return this.#protocol._kexinit === undefined ? this.#wire.queued : HIGH_WATER + 1;
  }

  /** Nothing more should be sent until `drained`. */
  get congested(): boolean {
    return this.pressure > this.#highWater;
  }

  /** From now on `congested` means more than `bytes`, where the wire supports it: for connections that may be many. */
  limitQueue(bytes: number): void {
    if (this.#wire.limit === undefined) return;
    this.#wire.limit(bytes);
    this.#highWater = bytes;
  }

  send(payload: Uint8Array): void {
    this.sendParts(payload.length, (packet, at) => packet.set(payload, at));
  }

  /** Sends a message of `length` bytes that `fill` writes directly into its packet, which saves a copy. */
  sendParts(length: number, fill: (packet: Buffer, at: number) => void): void {
    if (this.#closed || !this.#protocol._destruct) return;
    const { write } = this.#protocol._packetRW;
    const at = write.allocStart;
    const packet = write.alloc(length);
    fill(packet, at);
    ssh2Utils.sendPacket(this.#protocol, write.finalize(packet));
  }

  /** Begins a key exchange, as clients and nodes do on their own after a gigabyte or an hour. */
  rekey(): void {
    this.#protocol.rekey();
  }

  /** Sends queued bytes now, because slow, deferrable work follows in this turn of the event loop. */
  flush(): void {
    this.#wire.flush?.();
  }

  hold(reason: Hold): void {
    this.#holds |= reason;
    this.#readOrWait();
  }

  release(reason: Hold): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    this.#resume();
  }

  /** Disconnects without a text. */
  end(): void {
    this.disconnect(DISCONNECT.byApplication, '');
  }

  /** Sends a disconnect message, which OpenSSH, PuTTY and Dropbear print, and closes. */
  disconnect(reason: number, text: string): void {
    if (this.#closed || this.#leaving || !this.#protocol._destruct) return;
    const payload = new SshWriter().byte(MSG.disconnect).uint32(reason).utf8(text).utf8('').bytes();
    const { write } = this.#protocol._packetRW;
    const at = write.allocStartKEX;
    const packet = write.alloc(payload.length, true);
    packet.set(payload, at);
    ssh2Utils.sendPacket(this.#protocol, write.finalize(packet, true), true);
    this.#leaving = true;
    if (text !== '') this.#reason ??= text.slice(0, 256);
    this.#wire.end();
  }

  destroy(): void {
    this.#wire.destroy();
  }

  #collect(chunk: Buffer): void {
    const preamble = this.#preamble!;
    preamble.bytes = Buffer.concat([preamble.bytes, chunk]);
    const offer = readClientOffer(preamble.bytes);
    if (offer === undefined) return;
    const { ready } = preamble.hostKeys;
    const certified = preamble.hostKeys.with(offer.hostKeys);
    if (certified === null) return this.#begin(ready, offer.gcm);
    // The certificate has to be requested. Without it, the client may still accept a plain key.
    clearTimeout(preamble.timer);
    this.hold(HOLD.dial);
    void certified
      .catch(() => ready)
      .then((hostKeys) => {
        this.#begin(hostKeys, offer.gcm);
        this.release(HOLD.dial);
      });
  }

  #begin(hostKeys: KeysByName, fastOnly: boolean): void {
    const preamble = this.#preamble;
    if (preamble === undefined) return;
    this.#preamble = undefined;
    clearTimeout(preamble.timer);
    this.#protocol._offer = serverOffer(Object.keys(hostKeys), fastOnly);
    this.#protocol._hostKeys = hostKeys;
    if (preamble.bytes.length > 0) this.#parse(preamble.bytes);
  }

  #parse(chunk: Buffer): void {
    if (!this.#protocol._destruct) return;
    try {
      // Other ciphers, including none, may keep views of their input; so does a running key exchange.
      const inPlace = isGcm(this.#protocol._decipher) && this.#protocol._kexinit === undefined;
      this.#protocol.parse(inPlace ? chunk : Buffer.from(chunk), 0, chunk.length);
      // AES-GCM keeps views too, while a packet's tag is missing.
      const { _decipher: decipher } = this.#protocol;
      if (decipher?._packet?.buffer === chunk.buffer) decipher._packet = Buffer.from(decipher._packet);
    } catch (error) {
      this.#fail(error);
    }
    this.#read();
    // A key exchange may have begun or ended.
    this.#readOrWait();
  }

  /** From now on, packets are built directly in the send buffer. */
  #packInPlace(): void {
    const cipher = this.#protocol._cipher;
    if (!isGcm(cipher)) return;
    // Larger than any data packet, for example a long command. It is copied into slabs when sent.
    const reserve = (length: number): Buffer => (length > SLAB_BYTES ? Buffer.allocUnsafeSlow(length) : this.#wire.reserve(length));
    cipher.allocPacket = (length) => gcmPacket(length, reserve);
  }

  #deliver(payload: Buffer): void {
    try {
      this.events.message(payload);
    } catch (error) {
      // A failing message ends its own connection and no other.
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
    while (this.#holds === 0 && next < this.#held.length) {
      const payload = this.#held[next++]!;
      this.#heldBytes -= payload.length;
      this.#deliver(payload);
    }
    this.#held.splice(0, next);
    this.#delivering = false;
    this.#read();
    this.#readOrWait();
  }

  /**
   * Stops reading while any hold applies, except during a key exchange: nothing can be sent to this side until the exchange
   * is over, and the hold may be waiting for exactly that. Data already in transit arrives meanwhile, bounded by the windows
   * of the channels.
   */
  #readOrWait(): void {
    const reads = this.#holds === 0 || (this.#secured && this.#protocol._kexinit !== undefined && this.#heldBytes < MAX_HELD_BYTES);
    if (reads === this.#reads) return;
    this.#reads = reads;
    if (reads) this.#wire.resume();
    else this.#wire.pause();
  }

  /** Tells the other side the reason, if possible, and closes. */
  #fail(error: unknown): void {
    const said = (error instanceof Error ? error.message : String(error)).slice(0, 256);
    this.#reason ??= said.startsWith('Bad packet length') ? `a packet is damaged, or exceeds ${MAX_PACKET_BYTES} bytes` : said;
    if (this.#secured) this.disconnect(DISCONNECT.protocolError, `steno: ${this.#reason}`);
    this.#wire.end();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#held = [];
    this.#heldBytes = 0;
    clearTimeout(this.#preamble?.timer);
    this.#protocol.cleanup();
    this.events.closed(this.#reason);
  }
}

function isGcm(cipher: object | undefined): boolean {
  return cipher !== undefined && gcmClasses.has(cipher.constructor.name);
}
