/**
 * Unsealing of CA keys: one random data key seals them all; a key file or a passphrase seals the data key.
 *
 *     file or passphrase ──(seal.ts, purpose "seal/data-key")──► data key ──(purpose "ca/…")──► private keys
 *
 * Changing the seal therefore rewrites one row (`steno ca reseal`), and other secrets at rest use the same data key. A
 * passphrase becomes a key by Argon2id (64 MiB, 3 passes), or in FIPS mode by PBKDF2 with SHA-512 (210,000 rounds); the
 * parameters are stored with the sealed key. Order of a change:
 *   1. a new key file is written as `seal.key.next`;      crash: it is replaced the next time
 *   2. the row is committed;                              crash: the next start finds that only `.next` opens it
 *   3. `.next` is renamed to `seal.key`, or `seal.key` is removed. Older state stores without a data key are converted at
 *      the next start. Tested in seal-store.test.ts.
 */
import { pbkdf2, randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { promisify } from 'node:util';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { fipsMode } from '#runtime/fips.js';
import { auditRow } from '../records/audit.js';
import type { Caller } from '../records/audit.js';
import type { Records } from '../records/records.js';
import { caKeys, insertSeal, replaceSeal, resealCaKey, sealRow } from './ca-records.js';
import type { SealRow } from './ca-records.js';
import { sealPurpose } from './places.js';
import { SEAL_KEY_BYTES, createSealer, openSealKey } from './seal.js';
import type { Sealer } from './seal.js';

export type SealSecret = { readonly kind: 'file' } | { readonly kind: 'passphrase'; readonly passphrase: string };

export interface SealOptions {
  /** The key file. */
  readonly file: string;
  /** Passphrase for that kind of seal; at the first start, creates one. */
  readonly passphrase?: string | undefined;
  readonly now: number;
}

const DATA_KEY = 'seal/data-key';
const SALT_BYTES = 16;
const derive = promisify(pbkdf2);
// Limits: values in the store must not make a start take hours.
const kdfSchema = z.discriminatedUnion('name', [
  z.object({
    name: z.literal('argon2id'),
    salt: z.base64(),
    memory_kib: z
      .int()
      .min(8)
      .max(4 << 20),
    passes: z.int().min(1).max(64),
    lanes: z.int().min(1).max(64),
  }),
  z.object({ name: z.literal('pbkdf2-hmac-sha512'), salt: z.base64(), rounds: z.int().min(1000).max(100_000_000) }),
]);
type Kdf = z.infer<typeof kdfSchema>;

/** Throws SEAL_PASSPHRASE_WEAK. */
function assertPassphrase(passphrase: string): void {
  if (passphrase.length < 12 || passphrase.length > 1024)
    throw new StenoError('SEAL_PASSPHRASE_WEAK', `it has ${passphrase.length} characters`);
}

export class SealStore {
  readonly #records: Records;
  readonly #file: string;
  readonly #dataKey: Buffer;
  readonly sealer: Sealer;

  /** Throws SEAL_KEY_MISSING, SEAL_KEY_WRONG, SEAL_PASSPHRASE_NEEDED. Never creates a new key while sealed data exists. */
  static async open(records: Records, options: SealOptions): Promise<SealStore> {
    const row = (await records.read(sealRow)) ?? (await begin(records, options));
    return new SealStore(records, options.file, await unwrap(row, options));
  }

  private constructor(records: Records, file: string, dataKey: Buffer) {
    this.#records = records;
    this.#file = file;
    this.#dataKey = dataKey;
    this.sealer = createSealer(dataKey);
  }

  /** Changes what unseals the keys from the next start on. Throws SEAL_PASSPHRASE_WEAK. */
  async reseal(to: SealSecret, caller: Caller, now: number): Promise<void> {
    const [file, next] = [this.#file, `${this.#file}.next`];
    rmSync(next, { force: true });
    const row = await wrap(this.#dataKey, to, () => openSealKey(next, { mayCreate: true }));
    await this.#records.act([auditRow(now, caller, { event: 'ca.reseal', target: to.kind })], (tx) => replaceSeal(tx, row, now));
    if (to.kind === 'file') renameSync(next, file);
    else rmSync(file, { force: true });
  }
}

/** The first start, or the first start with a data key. */
async function begin(records: Records, { file: path, passphrase, now }: SealOptions): Promise<SealRow> {
  const keys = (await records.read(caKeys)).filter(({ sealed }) => sealed !== null);
  const file = (): Buffer => openSealKey(path, { mayCreate: keys.length === 0 });
  // These keys were sealed with the file's key directly.
  const before = keys.length === 0 ? undefined : createSealer(file());
  const dataKey = randomBytes(SEAL_KEY_BYTES);
  const secret: SealSecret = before !== undefined || passphrase === undefined ? { kind: 'file' } : { kind: 'passphrase', passphrase };
  const row = await wrap(dataKey, secret, file);
  const sealer = createSealer(dataKey);
  const mine = await records.actOn(async (tx) => {
    if (!(await insertSeal(tx, row, now))) return { result: false, rows: [] };
    for (const key of keys) await resealCaKey(tx, key, sealer.seal(sealPurpose(key), before!.open(sealPurpose(key), key.sealed!)));
    return { result: true, rows: [auditRow(now, { actor: 'authority', source: '' }, { event: 'ca.seal', target: secret.kind })] };
  });
  // Another process may have won a concurrent first start.
  return mine ? row : (await records.read(sealRow))!;
}

async function wrap(dataKey: Buffer, secret: SealSecret, file: () => Buffer): Promise<SealRow> {
  if (secret.kind === 'file') return { kind: 'file', kdf: 'null', wrapped: createSealer(file()).seal(DATA_KEY, dataKey) };
  assertPassphrase(secret.passphrase);
  const salt = randomBytes(SALT_BYTES).toString('base64');
  const kdf: Kdf = fipsMode()
    ? { name: 'pbkdf2-hmac-sha512', salt, rounds: 210_000 }
    : { name: 'argon2id', salt, memory_kib: 65_536, passes: 3, lanes: 1 };
  return {
    kind: 'passphrase',
    kdf: JSON.stringify(kdf),
    wrapped: createSealer(await keyOf(secret.passphrase, kdf)).seal(DATA_KEY, dataKey),
  };
}

async function unwrap(row: SealRow, { file, passphrase }: SealOptions): Promise<Buffer> {
  if (row.kind === 'passphrase') {
    if (passphrase === undefined) throw new StenoError('SEAL_PASSPHRASE_NEEDED');
    return open(row, await keyOf(passphrase, kdfSchema.parse(JSON.parse(row.kdf))), 'this passphrase');
  }
  const next = `${file}.next`;
  if (existsSync(next)) {
    // A change of seal interrupted after its commit.
    try {
      const dataKey = open(row, openSealKey(next, { mayCreate: false }), next);
      renameSync(next, file);
      return dataKey;
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
    }
  }
  return open(row, openSealKey(file, { mayCreate: false }), file);
}

function open(row: SealRow, key: Uint8Array, what: string): Buffer {
  try {
    return createSealer(key).open(DATA_KEY, row.wrapped);
  } catch (error) {
    throw error instanceof StenoError ? new StenoError('SEAL_KEY_WRONG', `${what} does not open them`) : error;
  }
}

async function keyOf(passphrase: string, kdf: Kdf): Promise<Buffer> {
  const salt = Buffer.from(kdf.salt, 'base64');
  // NFKC: the same passphrase typed on another system gives the same key.
  const text = passphrase.normalize('NFKC');
  if (kdf.name === 'pbkdf2-hmac-sha512') return derive(text, salt, kdf.rounds, SEAL_KEY_BYTES, 'sha512');
  const { hashRaw } = await import('@node-rs/argon2');
  // 2 is Argon2id; the library's names are a const enum, which cannot be imported here.
  return hashRaw(text, {
    algorithm: 2,
    salt,
    memoryCost: kdf.memory_kib,
    timeCost: kdf.passes,
    parallelism: kdf.lanes,
    outputLen: SEAL_KEY_BYTES,
  });
}
