/**
 * Configuration files of services: YAML, strict, checked by one schema per service.
 *
 * Errors show the line and suggest the intended field. No field holds a secret: secrets are read from a named file or from
 * the environment, so a configuration may be kept in a repository. `configText` prints the settings in force, defaults
 * included, and of each secret only whether it is set. Tested in config.test.ts.
 */
import { readFileSync, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { parseDuration } from '#schemas/base/duration.js';
import { parseHostPort } from '#schemas/base/host-port.js';
import { isName } from '#schemas/base/identity.js';
import { caPin } from '#schemas/join.js';
import { parseAs } from '../resources/document.js';

function isBase(text: string, protocol: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return url.protocol === protocol && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
}

export const hostPort = z
  .string()
  .max(300)
  .refine((text) => parseHostPort(text) !== undefined, 'is not HOST:PORT');
export const path = z.string().min(1).max(4096).refine(isAbsolute, 'is not an absolute path');
/** `https://HOST:PORT` without a path. */
export const httpsBase = z
  .string()
  .max(300)
  .refine((text) => isBase(text, 'https:'), 'is not https://HOST:PORT');
export const webBase = z
  .string()
  .max(300)
  .refine((text) => isBase(text, 'https:') || isBase(text, 'http:'), 'is not https://HOST or https://HOST:PORT');
const wssBase = z
  .string()
  .max(300)
  .refine((text) => isBase(text, 'wss:'), 'is not wss://HOST:PORT');

const LONGEST_SPAN_MS = 86_400_000;

/** A duration of at most a day; `0s` is none. Parsed by `spanMs`. */
export const span = z
  .string()
  .refine(
    (text) => text === '0s' || (parseDuration(text) ?? Infinity) <= LONGEST_SPAN_MS,
    'is not a duration such as 90s or 30m, up to 24h',
  );

export function spanMs(text: z.output<typeof span>): number {
  return parseDuration(text) ?? 0;
}

/** Ingests in the order they are tried. A single one may be given without a list. */
export const ingests = z.union([z.array(wssBase).min(1).max(16), wssBase.transform((one) => [one])]);

/** Fields that every service has. */
export const serviceFields = {
  /** Name of the service; unique among services of its kind. */
  name: z.string().max(63).refine(isName, 'is not a valid name'),
  /** Folder for keys, certificates and other state of the service. */
  data: path,
  /** Address at which `/healthz` and `/readyz` answer, without TLS; disabled if omitted. */
  health: hostPort.optional(),
  /** Restricts the process to algorithms approved by FIPS 140. */
  fips: z.boolean().default(false),
};

/** Fields of services that join an authority. */
export const memberFields = {
  ...serviceFields,
  /** Authorities that share one store, any of which may be used. */
  authorities: z.array(httpsBase).min(1).max(16),
  join: z
    .strictObject({
      /**
       * File with a token of `steno tokens add --type gateway|ingest|viewer|analyzer`; read only if the service has not
       * joined yet.
       */
      token_file: path.optional(),
      /** Pins of the service CA, as printed by `steno tokens add`. */
      ca_pins: z.array(caPin).max(16).default([]),
    })
    .prefault({}),
};
export type MemberConfig = z.output<z.ZodObject<typeof memberFields>>;

/** Object store in a bucket, with AWS_* in the environment; if omitted, a folder under `data`. */
export const objectsUrl = z
  .string()
  .max(300)
  .regex(/^s3:\/\//, 'is not s3://BUCKET/PREFIX');

const MAX_SECRET = 4096;

/** Reads a secret from a file. Throws CONFIG_INVALID if others may read it. */
export function readSecret(file: string): string {
  let text: string;
  try {
    // systemd provides credentials with mode 0440, readable by root's group only.
    if ((statSync(file).mode & 0o037) !== 0) throw new StenoError('CONFIG_INVALID', `others may read ${file}; change its mode to 0600`);
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (error instanceof StenoError) throw error;
    throw new StenoError('CONFIG_INVALID', `${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`);
  }
  if (text === '' || text.length > MAX_SECRET) throw new StenoError('CONFIG_INVALID', `${file} is empty`);
  return text;
}

/** Throws CONFIG_INVALID with file, line, column and the fault. */
export function readConfig<Schema extends z.ZodType>(file: string, schema: Schema): z.output<Schema> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new StenoError('CONFIG_INVALID', `${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`);
  }
  return parseConfig(text, file, schema);
}

export function parseConfig<Schema extends z.ZodType>(text: string, file: string, schema: Schema): z.output<Schema> {
  try {
    return parseAs(text, file, schema);
  } catch (error) {
    if (error instanceof StenoError && error.code === 'DOCUMENT_INVALID') throw new StenoError('CONFIG_INVALID', error.detail);
    throw error;
  }
}

/** `secrets`: by name, whether each is set. */
export function configText(config: object, secrets: Readonly<Record<string, boolean>>): string {
  const lines = Object.entries(secrets).map(([secret, set]) => `# ${secret}: ${set ? 'set' : 'not set'}\n`);
  return `${stringify(config, { lineWidth: 0, aliasDuplicateObjects: false })}${lines.join('')}`;
}

/** A ClickHouse server. Its password is read from a file, or from $STENO_EVENTS_PASSWORD. */
export const eventsServer = z.strictObject({
  url: z
    .string()
    .max(300)
    .refine((text) => isBase(text, 'https:') || isBase(text, 'http:'), 'is not https://HOST:PORT'),
  database: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,62}$/, 'is not a valid database name')
    .default('steno'),
  username: z.string().min(1).max(255).default('default'),
  /** A cluster in the server's configuration across which the tables are replicated. */
  cluster: z
    .string()
    .regex(/^[a-zA-Z_][a-zA-Z0-9_]{0,62}$/, 'is not a valid cluster name')
    .optional(),
  password_file: path.optional(),
});
