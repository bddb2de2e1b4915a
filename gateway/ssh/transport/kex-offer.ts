/**
 * The algorithms offered, and the one choice made on the client's behalf.
 *
 * A client's first cipher that the server knows is used (RFC 4253 section 7.1), and OpenSSH puts AES-GCM last although it is
 * the fastest by far where the processor knows AES. The gateway therefore reads the client's list before it sends its own,
 * and offers nothing but AES-GCM to a client that supports it. A client that itself waits for the gateway's list waits
 * `PATIENCE_MS` at most. The list also tells which host key will be shown, whose certificate may have to be requested first
 * (host-keys.ts). Compression is not offered: it costs more than it saves, and recordings compress better. Tested in
 * kex-offer.test.ts.
 */
import kex from 'ssh2/lib/protocol/kex.js';
import type { KexInit } from 'ssh2/lib/protocol/kex.js';
import { isPermittedKey, nodeAlgorithms, transportAlgorithms } from '#runtime/ssh/algorithms.js';
import { hostKeyAlgorithms } from '#runtime/ssh/certified-key.js';
import { STRICT_KEX } from '#schemas/ssh/numbers.js';
import { SshReader } from '#schemas/ssh/wire.js';

/** Milliseconds to wait for the client's list. */
export const PATIENCE_MS = 250;
/** Bytes: more than any client sends before its list is complete; beyond this the gateway stops waiting. */
const maxPreamble = 16_384;
const kexInitType = 20;

const isGcm = (name: string): boolean => name.includes('-gcm');
const offers = new Map<string, KexInit>();

export function serverOffer(serverHostKey: readonly string[], fastOnly: boolean): KexInit {
  const { kex: exchanges, cipher, hmac, compress } = transportAlgorithms();
  return offer([...exchanges, STRICT_KEX.server], serverHostKey, {
    cipher: fastOnly ? cipher.filter(isGcm) : cipher,
    mac: hmac,
    compress,
  });
}

export function clientOffer(): KexInit {
  const { kex: exchanges, cipher, hmac, compress } = nodeAlgorithms();
  return offer([...exchanges, 'ext-info-c', STRICT_KEX.client], hostKeyAlgorithms.filter(isPermittedKey), {
    cipher,
    mac: hmac,
    compress,
  });
}

/** Identical lists share one object: building it costs more than the rest of a connection's setup. */
function offer(
  exchanges: string[],
  serverHostKey: readonly string[],
  lists: { readonly cipher: string[]; readonly mac: string[]; readonly compress: string[] },
): KexInit {
  const id = [exchanges, serverHostKey, lists.cipher].join(' ');
  let known = offers.get(id);
  if (known === undefined) {
    const direction = { ...lists, lang: [] };
    known = new kex.KexInit({ kex: exchanges, serverHostKey: [...serverHostKey], cs: direction, sc: direction });
    offers.set(id, known);
  }
  return known;
}

/** The parts of a client's first algorithm list that the gateway's own list depends on. */
export interface ClientOffer {
  /** Whether the client supports AES-GCM in both directions. */
  readonly gcm: boolean;
  /** Host key algorithms the client accepts, best first. */
  readonly hostKeys: readonly string[];
}
const nothing: ClientOffer = { gcm: false, hostKeys: [] };

/**
 * Parses the client's first bytes: identification line and KEXINIT, neither encrypted. `undefined`: more bytes are needed.
 * Bytes that are not SSH yield an empty offer; ssh2 will report what is wrong.
 */
export function readClientOffer(bytes: Buffer): ClientOffer | undefined {
  const line = bytes.indexOf(10);
  if (line < 0 || bytes.length < line + 7) return bytes.length > maxPreamble ? nothing : undefined;
  const length = bytes.readUInt32BE(line + 1);
  if (length > maxPreamble || bytes[line + 6] !== kexInitType) return nothing;
  if (bytes.length < line + 5 + length) return undefined;
  try {
    const reader = new SshReader(bytes.subarray(line + 7, line + 5 + length), 'BAD_REQUEST');
    reader.raw(16, 'the cookie');
    reader.nameList('the key exchanges');
    const hostKeys = reader.nameList('the host keys');
    return { hostKeys, gcm: ['to the server', 'to the client'].every((way) => reader.nameList(`the ciphers ${way}`).some(isGcm)) };
  } catch {
    return nothing;
  }
}
