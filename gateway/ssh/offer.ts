/**
 * The algorithms offered. Compression is not: it costs more than it saves on both legs, and recordings compress better.
 */
import constants from 'ssh2/lib/protocol/constants.js';
import { hostKeyAlgorithms } from '#runtime/ssh/certified-key.js';

interface Offer {
  readonly kex: string[];
  readonly serverHostKey: string[];
  readonly cs: Direction;
  readonly sc: Direction;
}
interface Direction {
  readonly cipher: string[];
  readonly mac: string[];
  readonly compress: string[];
  readonly lang: string[];
}

const direction: Direction = {
  cipher: constants.DEFAULT_CIPHER,
  mac: constants.DEFAULT_MAC.filter((name) => !name.includes('md5')),
  compress: ['none'],
  lang: [],
};

export function serverOffer(serverHostKey: string[]): Offer {
  return { kex: constants.DEFAULT_KEX, serverHostKey, cs: direction, sc: direction };
}

export function clientOffer(): Offer {
  return { kex: constants.DEFAULT_KEX, serverHostKey: hostKeyAlgorithms, cs: direction, sc: direction };
}
