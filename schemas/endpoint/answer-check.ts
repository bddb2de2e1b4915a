/** In tests, compares a server's answers and refusals with the endpoint's declaration. Production skips this cost. */
import { StenoError } from '../base/errors.js';
import { commonErrors } from './endpoint.js';
import type { AnyEndpoint } from './endpoint.js';

export type Checked = Pick<AnyEndpoint, 'method' | 'path' | 'answer' | 'errors'>;

/** Rejects with an error outside the catalogue for a code or an answer that is not declared. */
export async function checkAnswer<T>({ method, path, answer, errors }: Checked, run: () => Promise<T>): Promise<T> {
  const given = await run().catch((error: unknown) => {
    if (!(error instanceof StenoError) || [...commonErrors, ...errors].includes(error.code)) throw error;
    throw new Error(`${method} ${path} does not declare ${error.code}`, { cause: error });
  });
  // The answer as it is sent.
  const sent: unknown = given === undefined ? undefined : JSON.parse(JSON.stringify(given));
  const parsed = answer.safeParse(sent);
  if (!parsed.success) throw new Error(`${method} ${path} answers what it does not declare`, { cause: parsed.error });
  return given;
}

/** The same for answers whose bytes are not JSON: only the code of a refusal is compared. */
export function checkRefusal<T>(endpoint: Checked, run: () => Promise<T>): Promise<T> {
  let given: T;
  return checkAnswer({ ...endpoint, answer: endpoint.answer.optional() }, async () => {
    given = await run();
    return undefined;
  }).then(() => given);
}
