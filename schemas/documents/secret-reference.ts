/**
 * A reference to a secret, since documents of administrators never contain one: a file in `authority/secrets` of the data
 * directory, or a variable of the authority's environment whose name begins with STENO_SECRET_ (authority/webhooks/secrets.ts).
 * Tested in webhook.test.ts.
 */
import { z } from 'zod';

export const secretReference = z.union(
  [
    z.strictObject({ file: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'is not a plain file name in authority/secrets') }),
    z.strictObject({ env: z.string().regex(/^STENO_SECRET_[A-Z0-9_]{1,64}$/, 'is not a name that begins with STENO_SECRET_') }),
  ],
  { error: 'is neither {file: NAME} nor {env: STENO_SECRET_NAME}' },
);
export type SecretReference = z.output<typeof secretReference>;
