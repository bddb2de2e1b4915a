/**
 * What a way out has to do.
 *
 * `send` resolves when the other side has said that it has all of the lines, and rejects otherwise; whether it has some of them is then not
 * known, and all are sent again. It holds one batch, at most `MAX_BATCH_BYTES` and one line, and gives up by itself after `TIMEOUT_MS` without
 * progress. `RefusedLines`: the other side will never take these lines, so that they are sent one by one, and one that is refused
 * by itself is passed over.
 */
import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import type { SiemDestination } from './config.js';

export const MAX_BATCH_BYTES = 1 << 20;
export const TIMEOUT_MS = 30_000;

/** A row on its way: as one line of OCSF, and what a header of syslog says of it. */
export interface Line {
  readonly json: string;
  /** 0 emergency to 7 debug, of syslog. */
  readonly level: number;
  /** ms since 1970. */
  readonly at: number;
  readonly node: string;
  /** `events.exec`. */
  readonly kind: string;
}

export interface WayOut {
  send(lines: readonly Line[], signal: AbortSignal): Promise<void>;
  close(): void;
}

export class RefusedLines extends Error {}

/** Files are read at each connection: a certificate or token can be replaced without a restart. */
export function secureContext({ ca_file: ca, certificate_file: certificate, key_file: key }: SiemDestination): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
    ...(certificate === undefined || key === undefined ? {} : { cert: readFileSync(certificate), key: readFileSync(key) }),
  };
}
