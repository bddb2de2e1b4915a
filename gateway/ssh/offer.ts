/**
 * The algorithms offered, and the one choice made for the client's good.
 *
 * A client's first cipher that the server knows is used (RFC 4253 section 7.1), and OpenSSH puts AES-GCM last although
 * it is the fastest by far where the processor knows AES. The gateway therefore reads the client's list before it sends
 * its own: who knows AES-GCM is offered nothing else. A client that waits for the gateway's list is not kept waiting
 * (`PATIENCE_MS`). Compression is not offered: it costs more than it saves, and recordings compress better.
 * Tested in offer.test.ts.
 */
import constants from 'ssh2/lib/protocol/constants.js';
import kex from 'ssh2/lib/protocol/kex.js';
import type { KexInit } from 'ssh2/lib/protocol/kex.js';
import { fipsMode } from '#runtime/fips.js';
import { HYBRID_KEX, isPermittedKey, permitted } from '#runtime/ssh/algorithms.js';
import { hostKeyAlgorithms } from '#runtime/ssh/certified-key.js';
import { SshReader } from '#schemas/ssh/wire.js';

/** Milliseconds to wait for the client's list. */
export const PATIENCE_MS = 250;
/** Bytes: more than any client sends before its list is complete; beyond it the gateway waits no more. */
const maxPreamble = 16_384;
const kexInitType = 20;

const gcm = constants.DEFAULT_CIPHER.filter((name) => name.includes('gcm'));
const mac = constants.DEFAULT_MAC.filter((name) => !name.includes('md5'));
const offers = new Map<string, KexInit>();

export function serverOffer(serverHostKey: readonly string[], fastOnly: boolean): KexInit {
  const exchanges = permitted('kex', constants.DEFAULT_KEX);
  // Last in this list, for it is the client's order that counts.
  return offer(
    [...exchanges, ...(fipsMode() ? [] : [HYBRID_KEX]), 'kex-strict-s-v00@openssh.com'],
    serverHostKey,
    fastOnly ? gcm : permitted('cipher', constants.DEFAULT_CIPHER),
  );
}

export function clientOffer(): KexInit {
  return offer(
    [...permitted('kex', constants.DEFAULT_KEX), 'ext-info-c', 'kex-strict-c-v00@openssh.com'],
    hostKeyAlgorithms.filter(isPermittedKey),
    permitted('cipher', constants.DEFAULT_CIPHER),
  );
}

/** The same lists are one object: building it costs more than all the rest of a connection's beginning. */
function offer(exchanges: string[], serverHostKey: readonly string[], cipher: string[]): KexInit {
  const id = [exchanges, serverHostKey, cipher].join(' ');
  let known = offers.get(id);
  if (known === undefined) {
    const direction = { cipher, mac: permitted('hmac', mac), compress: ['none'], lang: [] };
    known = new kex.KexInit({ kex: exchanges, serverHostKey: [...serverHostKey], cs: direction, sc: direction });
    offers.set(id, known);
  }
  return known;
}

/**
 * Whether the client knows AES-GCM in both directions, by its first bytes (identification line and KEXINIT, neither
 * encrypted). `undefined`: more bytes are needed. Bytes that are no SSH count as "no": ssh2 will say what is wrong.
 */
export function knowsGcm(bytes: Buffer): boolean | undefined {
  const line = bytes.indexOf(10);
  if (line < 0 || bytes.length < line + 7) return bytes.length > maxPreamble ? false : undefined;
  const length = bytes.readUInt32BE(line + 1);
  if (length > maxPreamble || bytes[line + 6] !== kexInitType) return false;
  if (bytes.length < line + 5 + length) return undefined;
  try {
    const reader = new SshReader(bytes.subarray(line + 7, line + 5 + length), 'BAD_REQUEST');
    reader.raw(16, 'the cookie');
    reader.nameList('the key exchanges');
    reader.nameList('the host keys');
    return ['to the server', 'to the client'].every((way) => reader.nameList(`the ciphers ${way}`).some((name) => gcm.includes(name)));
  } catch {
    return false;
  }
}
