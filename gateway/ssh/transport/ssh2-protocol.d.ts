/** The parts of ssh2 1.17 below its client and server classes, which its typings omit. Used only in transport.ts. */
declare module 'ssh2/lib/protocol/Protocol.js' {
  import type { ParsedKey } from 'ssh2';
  import type { KexInit } from 'ssh2/lib/protocol/kex.js';

  interface ProtocolOptions {
    readonly server?: boolean;
    readonly hostKeys?: Readonly<Record<string, ParsedKey>>;
    readonly hostVerifier?: ((key: Buffer, decide: (accepted: boolean) => void) => void) | undefined;
    readonly ident: string;
    readonly offer: KexInit;
    readonly onWrite: (bytes: Buffer) => void;
    readonly onError: (error: Error) => void;
    readonly onHeader: (header: { readonly versions: { readonly software: string } }) => void;
    readonly onHandshakeComplete: () => void;
    readonly messageHandlers: { readonly DISCONNECT?: (protocol: unknown, reason: number, text: string) => void };
    readonly debug?: (message: string) => void;
  }
  class Protocol {
    constructor(options: ProtocolOptions);
    /** Cleared by `cleanup`: afterwards nothing may be parsed or sent. */
    _destruct: unknown;
    /** Both change with each key exchange; `_packet`: an incomplete packet. */
    readonly _cipher: { allocPacket(payloadLength: number): Buffer };
    readonly _decipher: { _packet: Uint8Array | null } | undefined;
    _onPayload: (payload: Buffer) => number | false | undefined;
    /** The contents of our KEXINIT. */
    _offer: KexInit;
    /** A server's keys by algorithm; looked up once the first exchange has chosen one. */
    _hostKeys: Readonly<Record<string, ParsedKey>>;
    /** Sends our KEXINIT, starting a key exchange. */
    rekey(): void;
    _kexinit: Buffer | undefined;
    /** Payloads waiting for the end of a key exchange. */
    _queue: Buffer[] | undefined;
    readonly _kex: { readonly sessionID: Buffer; readonly negotiated: { readonly serverHostKey: string } };
    /** Names and values of a server's EXT_INFO besides `server-sig-algs` (RFC 8308). */
    _extInfo: readonly string[];
    readonly _packetRW: {
      readonly write: {
        readonly allocStart: number;
        readonly allocStartKEX: number;
        alloc(length: number, force?: boolean): Buffer;
        finalize(packet: Buffer, force?: boolean): Buffer;
      };
    };
    start(): void;
    parse(bytes: Buffer, from: number, to: number): void;
    cleanup(): void;
  }
  export default Protocol;
}
declare module 'ssh2/lib/protocol/kex.js' {
  interface Direction {
    readonly cipher: string[];
    readonly mac: string[];
    readonly compress: string[];
    readonly lang: string[];
  }
  export class KexInit {
    constructor(lists: { readonly kex: string[]; readonly serverHostKey: string[]; readonly cs: Direction; readonly sc: Direction });
    readonly totalSize: number;
  }
  const kex: { readonly KexInit: typeof KexInit };
  export default kex;
}
declare module 'ssh2/lib/protocol/utils.js' {
  import type Protocol from 'ssh2/lib/protocol/Protocol.js';
  const utils: { sendPacket(protocol: Protocol, packet: Buffer, bypass?: boolean): boolean };
  export default utils;
}
declare module 'ssh2/lib/protocol/crypto.js' {
  const ssh2Crypto: { readonly bindingAvailable: boolean; readonly init: Promise<void> };
  export default ssh2Crypto;
}
