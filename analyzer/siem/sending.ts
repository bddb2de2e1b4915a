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
import { readSecret } from '#runtime/service/config.js';
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

/** What is shown and asked for at a connection; `ca`, `certificate` and `key` in PEM. */
export interface Credentials {
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly token?: string;
}

/** Called at each connection: a certificate or token can be replaced without a restart. */
export type ReadCredentials = () => Credentials;

/** Throws when a file cannot be read; a token also when others can read its file. */
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
