/** Opens the CAs for an authority: seal, token, generation of missing keys, and the CAs on top. Tested in ../app.test.ts. */
import { fipsMode } from '#runtime/fips.js';
import type { Log } from '#runtime/log.js';
import { auditRow } from '../records/audit.js';
import type { Records } from '../records/records.js';
import { LiveCa, makeKey } from './ca.js';
import type { KeyPlaces } from './ca.js';
import { caKeys, caState, insertCaKeys } from './ca-records.js';
import { caNames } from './names.js';
import { openToken } from './pkcs11.js';
import { keyPlaces, sealedPlace } from './places.js';
import { SealStore } from './seal-store.js';
import type { SignerConfig } from './signer-config.js';

export interface CaOptions {
  /** File of the seal key. */
  readonly sealKey: string;
  readonly sealPassphrase: string | undefined;
  readonly signer: SignerConfig | undefined;
}

export interface OpenedCas {
  readonly ca: LiveCa;
  readonly places: KeyPlaces;
  readonly seal: SealStore;
  close(): void;
}

export async function openCas(
  records: Records,
  options: CaOptions,
  { log, clock }: { readonly log: Log; readonly clock: () => number },
): Promise<OpenedCas> {
  const seal = await SealStore.open(records, { file: options.sealKey, passphrase: options.sealPassphrase, now: clock() });
  const token = options.signer === undefined ? undefined : openToken(options.signer, { log });
  try {
    const places = keyPlaces(sealedPlace(seal.sealer), token);
    await createMissingCas(records, places, clock());
    return { ca: await LiveCa.open(() => records.read(caState), places), places, seal, close: () => token?.close() };
  } catch (error) {
    token?.close();
    throw error;
  }
}

/** Generates keys for CAs without one: all of them at the very first start. */
async function createMissingCas(records: Records, places: KeyPlaces, now: number): Promise<void> {
  const known = new Set((await records.read(caKeys)).map(({ name }) => name));
  const missing = caNames.filter((name) => !known.has(name));
  if (missing.length === 0) return;
  const keys = await Promise.all(missing.map((name) => makeKey(places, name, 1, 'active', fipsMode() ? 'p256' : 'ed25519', now)));
  await records.act([auditRow(now, { actor: 'authority', source: '' }, { event: 'ca.create', data: { names: missing } })], (tx) =>
    insertCaKeys(tx, keys),
  );
}
