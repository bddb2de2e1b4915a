/** Cases by the beginning of an id. */
import type { CaseHead } from '#schemas/api/cases/cases.js';
import { listCases } from '#schemas/api/cases/workbench.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Client } from '../../client/client.js';

/** The case that begins so. Throws NOT_FOUND for none, USAGE for several. */
export async function caseNamed(client: Client, begun: string): Promise<CaseHead> {
  const wanted = begun.startsWith('c-') ? begun : `c-${begun}`;
  const found = (await call(client.viewer, listCases, { query: { state: 'all' } })).filter(({ id }) => id.startsWith(wanted));
  if (found.length > 1)
    throw new StenoError(
      'USAGE',
      `${found.length} cases begin with ${begun}: ${found
        .slice(0, 3)
        .map(({ id }) => id)
        .join(', ')}`,
    );
  const [only] = found;
  if (only === undefined) throw new StenoError('NOT_FOUND', `case ${begun}`);
  return only;
}
