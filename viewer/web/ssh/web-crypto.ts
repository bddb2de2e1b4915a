/**
 * WebCrypto under the names that SSH uses. WebCrypto is available on pages served over TLS or from loopback (secure contexts).
 *
 * A private key made here cannot be exported, neither by this page nor by any code in it. Tested in key-exchange.test.ts and
 * test/end-to-end/page-ssh.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { SshReader, SshWriter } from '#schemas/ssh/wire.js';

/** TypeScript distinguishes memory shared with workers; none is used here. */
type Owned = Uint8Array<ArrayBuffer>;
const owned = (bytes: Uint8Array): Owned => bytes as Owned;

export function hasCrypto(): boolean {
  return (globalThis.crypto as Crypto | undefined)?.subtle !== undefined;
}

export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', owned(bytes)));
}

/** One side's ephemeral key of a key exchange. */
export interface Ephemeral {
  readonly publicKey: Uint8Array;
  /** The shared secret, big-endian. Rejects an invalid point, and one that yields only zeros. */
  derive(peer: Uint8Array): Promise<Uint8Array>;
}

export async function ephemeral(
  algorithm: { readonly name: 'X25519' } | { readonly name: 'ECDH'; readonly namedCurve: 'P-256' },
): Promise<Ephemeral> {
  const { publicKey, privateKey } = (await crypto.subtle.generateKey(algorithm, false, ['deriveBits'])) as CryptoKeyPair;
  return {
    publicKey: new Uint8Array(await crypto.subtle.exportKey('raw', publicKey)),
    async derive(peer) {
      const key = await crypto.subtle.importKey('raw', owned(peer), algorithm, false, []);
      const shared = new Uint8Array(await crypto.subtle.deriveBits({ name: algorithm.name, public: key }, privateKey, 256));
      // RFC 8731 section 3: a point of small order.
      if (shared.every((byte) => byte === 0)) throw new StenoError('SSH_PROTOCOL', 'the shared secret is zero');
      return shared;
    },
  };
}

/** Older browsers have no X25519. */
export async function hasX25519(): Promise<boolean> {
  return ephemeral({ name: 'X25519' }).then(
    () => true,
    () => false,
  );
}

const GCM_TAG = 16;

/** AES-GCM as in `aes256-gcm@openssh.com`: the packet's length is authenticated but not encrypted (RFC 5647 section 7.3). */
export class PacketCipher {
  readonly #key: CryptoKey;
  readonly #iv: Owned;
  readonly #counter: DataView;

  private constructor(key: CryptoKey, iv: Uint8Array) {
    this.#key = key;
    this.#iv = Uint8Array.from(iv);
    this.#counter = new DataView(this.#iv.buffer, 4);
  }

  static readonly tagBytes = GCM_TAG;

  /** `iv`: twelve bytes, a fixed part of four and a counter of eight. */
  static async of(key: Uint8Array, iv: Uint8Array, use: 'encrypt' | 'decrypt'): Promise<PacketCipher> {
    return new PacketCipher(await crypto.subtle.importKey('raw', owned(key), 'AES-GCM', false, [use]), iv);
  }

  /** Returns ciphertext and tag. */
  async encrypt(plain: Uint8Array, length: Uint8Array): Promise<Uint8Array> {
    const parameters = this.#next(length);
    return new Uint8Array(await crypto.subtle.encrypt(parameters, this.#key, owned(plain)));
  }

  /** Rejects if the packet was altered. */
  async decrypt(sealed: Uint8Array, length: Uint8Array): Promise<Uint8Array> {
    const parameters = this.#next(length);
    return new Uint8Array(await crypto.subtle.decrypt(parameters, this.#key, owned(sealed)));
  }

  /** Each packet's counter is the previous one plus one (RFC 5647 section 7.1); no IV is ever reused. */
  #next(length: Uint8Array): AesGcmParams {
    const parameters = { name: 'AES-GCM', iv: this.#iv.slice(), additionalData: owned(length), tagLength: GCM_TAG * 8 };
    this.#counter.setBigUint64(0, this.#counter.getBigUint64(0) + 1n);
    return parameters;
  }
}

/** The key of a terminal: generated here, and usable nowhere else. ECDSA P-256, which every browser supports and FIPS allows. */
export interface UserKey {
  readonly type: string;
  /** Blob of the public key (RFC 5656 section 3.1). */
  readonly publicBlob: Uint8Array;
  /** Signature blob over `data` (RFC 5656 section 3.1.2). */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

export async function newUserKey(): Promise<UserKey> {
  const type = 'ecdsa-sha2-nistp256';
  const { publicKey, privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  const point = new Uint8Array(await crypto.subtle.exportKey('raw', publicKey));
  return {
    type,
    publicBlob: new SshWriter().utf8(type).utf8('nistp256').string(point).bytes(),
    async sign(data) {
      const pair = new Uint8Array(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, privateKey, owned(data)));
      const numbers = new SshReader(pair, 'SSH_PROTOCOL');
      const signature = new SshWriter().mpint(numbers.raw(32, 'r')).mpint(numbers.raw(32, 's')).bytes();
      return new SshWriter().utf8(type).string(signature).bytes();
    },
  };
}
