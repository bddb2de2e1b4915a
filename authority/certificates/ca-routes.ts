/** Routes about CAs: listing them, and moving them for those who may. Tested in ../ca/rotations.test.ts. */
import { listCas, resealCas, rotateCa, showTrust } from '#schemas/api/services/ca.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { caNames } from '../ca/names.js';
import type { Ca } from '../ca/ca.js';
import type { CaName } from '../ca/names.js';
import type { Rotations } from '../ca/rotations.js';
import type { SealStore } from '../ca/seal-store.js';
import { trustReport } from './trust.js';

export interface CaRouteParts {
  readonly ca: Ca;
  readonly directory: Directory;
  readonly rotations: Rotations;
  readonly seal: SealStore;
  readonly clock: () => number;
}

export function caRoutes({ ca, directory, rotations, seal, clock }: CaRouteParts): readonly Route[] {
  return [
    handle(showTrust, async () => trustReport(ca.trust, directory.current().cluster)),
    handle(listCas, () => rotations.report()),
    handle(rotateCa, ({ caller, body }, params) => {
      const name = caName(params.name);
      return 'phase' in body
        ? rotations.advance(name, body.phase, caller, { force: body.force ?? false })
        : rotations.automate(name, body.grace_ms, caller);
    }),
    handle(resealCas, ({ caller, body }) => seal.reseal(body, caller, clock())),
  ];
}

function caName(text: string): CaName {
  const name = caNames.find((known) => known === text);
  if (name === undefined) throw new StenoError('NOT_FOUND', `the CAs are ${caNames.join(', ')}`);
  return name;
}
