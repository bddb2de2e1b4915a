/** What the authority answers about its CAs, and who may move them. Tested in ../ca/rotations.test.ts. */
import { z } from 'zod';
import { caPhases } from '#schemas/api.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Directory } from '../directory/directory.js';
import { noBody, route } from '../http/server.js';
import type { Route } from '../http/server.js';
import { caNames } from '../ca/names.js';
import type { Ca } from '../ca/ca.js';
import type { CaName } from '../ca/names.js';
import type { Rotations } from '../ca/rotations.js';
import type { SealStore } from '../ca/seal-store.js';
import { trustReport } from '../ca/trust.js';

export interface CaRouteParts {
  readonly ca: Ca;
  readonly directory: Directory;
  readonly rotations: Rotations;
  readonly seal: SealStore;
  readonly clock: () => number;
}

const rotationBody = z.union([
  z.strictObject({ phase: z.enum(caPhases), force: z.boolean().optional() }),
  z.strictObject({ grace_ms: z.int() }),
]);
const sealBody = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('file') }),
  z.strictObject({ kind: z.literal('passphrase'), passphrase: z.string().max(1024) }),
]);

export function caRoutes({ ca, directory, rotations, seal, clock }: CaRouteParts): readonly Route[] {
  return [
    route('GET /v1/trust', ['owner', 'user'], 'ca.trust', noBody, async () => trustReport(ca.trust, directory.current().cluster)),
    route('GET /v1/ca', ['owner', 'user'], 'ca.list', noBody, () => rotations.report()),
    route('PUT /v1/ca/:name/rotation', ['owner', 'ca:update'], 'ca.rotate', rotationBody, ({ caller, body, params }) => {
      const name = caName(params['name']);
      return 'phase' in body
        ? rotations.advance(name, body.phase, caller, { force: body.force ?? false })
        : rotations.automate(name, body.grace_ms, caller);
    }),
    route('POST /v1/ca-seal', ['owner'], 'ca.reseal', sealBody, async ({ caller, body }) => seal.reseal(body, caller, clock())),
  ];
}

function caName(text: string | undefined): CaName {
  const name = caNames.find((known) => known === text);
  if (name === undefined) throw new StenoError('NOT_FOUND', `the CAs are ${caNames.join(', ')}`);
  return name;
}
