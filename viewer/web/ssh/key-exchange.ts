/**
 * Key exchange (RFC 4253 sections 7 and 8, RFC 5656 section 4, RFC 8731), client side only, with the few algorithms that the page
 * supports. Every gateway supports all of them, also in FIPS mode.
 *
 *     our KEXINIT, its KEXINIT ──agreed──► ECDH_INIT ──► ECDH_REPLY: host certificate, point, signature over H ──► keys
 *
 * The host key must be a certificate of the host CA that names gateways of this cluster; there is no trust on first use. Tested
 * in key-exchange.test.ts, and against OpenSSH in test/end-to-end/page-ssh.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { SshReader, SshWriter, concatBytes, utf8Bytes } from '#schemas/ssh/wire.js';
import { MSG, STRICT_KEX } from '#schemas/ssh/numbers.js';
import { verifySignature } from '../verify/signature.js';
import { PacketCipher, ephemeral, randomBytes, sha256 } from './web-crypto.js';
import type { Ephemeral } from './web-crypto.js';

/** The identity that the other side must prove. */
export interface HostTrust {
  /** Public key lines of the host CA: two during a rotation. */
  readonly cas: readonly string[];
  /** A principal that the host certificate must have. */
  readonly principal: string;
  /** ms since 1970. */
  readonly now: () => number;
}

const exchanges = {
  'curve25519-sha256': { algorithm: { name: 'X25519' }, point: 32 },
  'ecdh-sha2-nistp256': { algorithm: { name: 'ECDH', namedCurve: 'P-256' }, point: 65 },
} as const;
type Exchange = keyof typeof exchanges;

const hostKeys = [
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'ecdsa-sha2-nistp384-cert-v01@openssh.com',
  'ecdsa-sha2-nistp521-cert-v01@openssh.com',
] as const;
const ciphers = { 'aes256-gcm@openssh.com': 32, 'aes128-gcm@openssh.com': 16 } as const;
type Cipher = keyof typeof ciphers;
/** Never negotiated with AES-GCM, but no server accepts an empty list. */
const macs = ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256'] as const;

const MAX_NAMES = 8 * 1024;

/** Our KEXINIT. `first`: whether it is the connection's first exchange. `curve25519`: whether the browser has X25519. */
export function kexInit(first: boolean, curve25519: boolean): Uint8Array {
  const kex: string[] = curve25519 ? ['curve25519-sha256', 'ecdh-sha2-nistp256'] : ['ecdh-sha2-nistp256'];
  const list = new SshWriter()
    .byte(MSG.kexInit)
    .raw(randomBytes(16))
    .nameList(first ? [...kex, STRICT_KEX.client] : kex)
    .nameList(hostKeys);
  for (const names of [Object.keys(ciphers), Object.keys(ciphers), macs, macs, ['none'], ['none'], [], []]) list.nameList(names);
  return list.byte(0).uint32(0).bytes();
}

export interface Agreed {
  readonly exchange: Exchange;
  readonly hostKey: string;
  readonly toServer: Cipher;
  readonly toClient: Cipher;
}

/** The result of negotiation: in each list, our first algorithm that the other side supports (RFC 4253 section 7.1). */
export function agree(ours: Uint8Array, theirs: Uint8Array, first: boolean): Agreed {
  const [mine, other] = [readKexInit(ours), readKexInit(theirs)];
  if (other.guessed) throw new StenoError('SSH_PROTOCOL', 'it guesses the key exchange');
  if (first && !other.lists[0]!.includes(STRICT_KEX.server)) throw new StenoError('SSH_PROTOCOL', 'it has no strict key exchange');
  const choose = (at: number, what: string): string => {
    const found = mine.lists[at]!.find((name) => other.lists[at]!.includes(name));
    return found ?? refuse(`no ${what} in common`);
  };
  return {
    exchange: choose(0, 'key exchange') as Exchange,
    hostKey: choose(1, 'kind of host certificate'),
    toServer: choose(2, 'cipher') as Cipher,
    toClient: choose(3, 'cipher') as Cipher,
  };
}

export function readKexInit(payload: Uint8Array): { readonly lists: readonly (readonly string[])[]; readonly guessed: boolean } {
  const reader = new SshReader(payload, 'SSH_PROTOCOL');
  if (reader.byte('the type') !== MSG.kexInit) reader.fail('it does not begin a key exchange');
  reader.raw(16, 'the cookie');
  const lists = Array.from({ length: 10 }, () => reader.nameList('a list of algorithms', MAX_NAMES));
  const guessed = reader.byte('the guess') !== 0;
  reader.uint32('the reserved field');
  reader.end('the list of algorithms');
  return { lists, guessed };
}

/** Fresh keys for both directions. */
export interface SessionKeys {
  readonly seal: PacketCipher;
  readonly open: PacketCipher;
}

/** The messages of both sides so far, over which H is computed. */
export interface Transcript {
  readonly clientVersion: string;
  readonly serverVersion: string;
  readonly clientInit: Uint8Array;
  readonly serverInit: Uint8Array;
}

/** One key exchange, starting from both KEXINITs. */
export class KeyExchange {
  readonly #transcript: Transcript;
  readonly #agreed: Agreed;
  readonly #own: Ephemeral;

  private constructor(transcript: Transcript, agreed: Agreed, own: Ephemeral) {
    this.#transcript = transcript;
    this.#agreed = agreed;
    this.#own = own;
  }

  static async begin(transcript: Transcript, first: boolean): Promise<KeyExchange> {
    const agreed = agree(transcript.clientInit, transcript.serverInit, first);
    return new KeyExchange(transcript, agreed, await ephemeral(exchanges[agreed.exchange].algorithm));
  }

  /** SSH_MSG_KEX_ECDH_INIT. */
  get init(): Uint8Array {
    return new SshWriter().byte(MSG.ecdhInit).string(this.#own.publicKey).bytes();
  }

  /**
   * Takes SSH_MSG_KEX_ECDH_REPLY. `sessionId`: H of the first exchange; null during the first one. Rejects with GATEWAY_HOST_KEY unless
   * the other side proves the identity in `trust`.
   */
  async finish(
    reply: Uint8Array,
    trust: HostTrust,
    sessionId: Uint8Array | null,
  ): Promise<{ readonly keys: SessionKeys; readonly sessionId: Uint8Array; readonly hostKey: Uint8Array }> {
    const reader = new SshReader(reply, 'SSH_PROTOCOL');
    if (reader.byte('the type') !== MSG.ecdhReply) reader.fail('it does not answer the key exchange');
    const hostKey = reader.string('the host key', 32 * 1024);
    const point = reader.string('the point', 133);
    const signature = reader.string('the signature', 8 * 1024);
    reader.end('the answer');
    const { exchange, toServer, toClient } = this.#agreed;
    if (point.length !== exchanges[exchange].point) reader.fail('the point has the wrong length');
    const publicKey = this.#checked(hostKey, trust);
    const secret = await this.#own.derive(point).catch(() => refuse('the point is none'));
    const { clientVersion, serverVersion, clientInit, serverInit } = this.#transcript;
    const k = new SshWriter().mpint(secret).bytes();
    const hash = await sha256(
      new SshWriter()
        .utf8(clientVersion)
        .utf8(serverVersion)
        .string(clientInit)
        .string(serverInit)
        .string(hostKey)
        .string(this.#own.publicKey)
        .string(point)
        .raw(k)
        .bytes(),
    );
    if (!verifySignature(publicKey, signature, hash)) throw new StenoError('GATEWAY_HOST_KEY', 'its signature does not match');
    const id = sessionId ?? hash;
    // RFC 4253 section 7.2: 'A' to 'D'; AES-GCM has no integrity keys.
    const derived = (letter: string, length: number): Promise<Uint8Array> =>
      sha256(concatBytes(k, hash, utf8Bytes(letter), id)).then((bytes) => bytes.subarray(0, length));
    const [ivOut, ivIn, keyOut, keyIn] = await Promise.all([
      derived('A', 12),
      derived('B', 12),
      derived('C', ciphers[toServer]),
      derived('D', ciphers[toClient]),
    ]);
    return {
      keys: { seal: await PacketCipher.of(keyOut, ivOut, 'encrypt'), open: await PacketCipher.of(keyIn, ivIn, 'decrypt') },
      sessionId: id,
      hostKey,
    };
  }

  /** The certified key of a host certificate, if the certificate is valid. */
  #checked(hostKey: Uint8Array, { cas, principal, now }: HostTrust): Uint8Array {
    const certificate = parseCertificate(hostKey);
    if (certificate.certType !== this.#agreed.hostKey) throw new StenoError('GATEWAY_HOST_KEY', 'it shows another kind of key than agreed');
    const verdict = checkCertificate(certificate, {
      kind: 'host',
      now: now() / 1000,
      trusted: cas.map((line) => parseAuthorizedLine(line).blob),
      principal,
      verify: (key, signature, data) => verifySignature(key, signature, data),
    });
    if (!verdict.ok) throw new StenoError('GATEWAY_HOST_KEY', verdict.detail);
    return certificate.publicKey;
  }
}

function refuse(what: string): never {
  throw new StenoError('SSH_PROTOCOL', what);
}
