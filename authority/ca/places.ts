/**
 * Where CA keys are kept: sealed in the state store, which always exists, and in a token if one is configured.
 *
 * A configured token receives the next keys generated for its CAs: at the first start, or by a rotation. Existing sealed
 * keys stay in use until then. Tested in ca.test.ts and pkcs11.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { generateKeyPem } from '#runtime/ssh/keys.js';
import type { CaKey, KeyPlace, KeyPlaces } from './ca.js';
import type { CaName } from './names.js';
import type { Sealer } from './seal.js';
import { softwareSigner } from './signer.js';

/** Generation 1 has no number: its keys were sealed before generations existed. */
export function sealPurpose({ name, generation }: Pick<CaKey, 'name' | 'generation'>): string {
  return generation === 1 ? `ca/${name}` : `ca/${name}/${generation}`;
}

export function sealedPlace(sealer: Sealer): KeyPlace {
  return {
    signer: 'sealed',
    make(name, generation, wanted) {
      const pem = generateKeyPem(wanted);
      return Promise.resolve({ signer: softwareSigner(pem), sealed: sealer.seal(sealPurpose({ name, generation }), Buffer.from(pem)) });
    },
    async open(key) {
      if (key.sealed === null) throw new StenoError('SEAL_KEY_WRONG', `${key.name} has no key`);
      return softwareSigner(sealer.open(sealPurpose(key), key.sealed).toString());
    },
    // Its only copy was in the row, which is overwritten.
    destroy: () => Promise.resolve(),
  };
}

export interface Token {
  readonly place: KeyPlace;
  readonly cas: readonly CaName[];
}

export function keyPlaces(sealed: KeyPlace, token?: Token): KeyPlaces {
  return {
    forNew: (name) => (token?.cas.includes(name) === true ? token.place : sealed),
    of(signer) {
      if (signer === 'sealed') return sealed;
      if (token === undefined) throw new StenoError('CA_SIGNER_UNAVAILABLE', 'no token is configured; start with --ca-signer');
      return token.place;
    },
  };
}
