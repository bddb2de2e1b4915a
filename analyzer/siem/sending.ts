/**
 * The obligations of a transport.
 *
 * `send` resolves when the other side has confirmed all lines, and rejects otherwise; in that case some lines may have arrived, and all
 * are sent again. A transport holds one batch, at most `MAX_BATCH_BYTES` and one line, and gives up after `TIMEOUT_MS` without
 * progress. `RefusedLines`: the other side will never accept these lines; they are then sent one by one, and a line refused on its own
 * is skipped.
 */
import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import { readSecret } from '#runtime/service/config.js';
import type { SiemDestination } from './config.js';

export const MAX_BATCH_BYTES = 1 << 20;
export const TIMEOUT_MS = 30_000;

/** A row to send: one line of OCSF, and the fields of a syslog header. */
export interface Line {
  readonly json: string;
  /** Syslog severity, 0 emergency to 7 debug. */
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

/** Credentials presented and required on a connection; `ca`, `certificate` and `key` in PEM. */
export interface Credentials {
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly token?: string;
}

/** Called for each connection, so that a certificate or token can be replaced without a restart. */
export type ReadCredentials = () => Credentials;

/** Throws if a file cannot be read, and also if others can read the file of a token. */
export function credentialsInFiles(destination: SiemDestination): ReadCredentials {
  const { ca_file: ca, certificate_file: certificate, key_file: key } = destination;
  const token = destination.format === 'ocsf' ? destination.token_file : undefined;
  return () => ({
    ...(ca === undefined ? {} : { ca: readFileSync(ca, 'utf8') }),
    ...(certificate === undefined || key === undefined
      ? {}
      : { certificate: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') }),
    ...(token === undefined ? {} : { token: readSecret(token) }),
  });
}

export function secureContext({ ca, certificate, key }: Credentials): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined || key === undefined ? {} : { cert: certificate, key }),
  };
}
