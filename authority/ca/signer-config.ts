/**
 * The file given by `--ca-signer`: where CA keys are kept instead of the state store. YAML:
 *
 *     kind: pkcs11
 *     module: /usr/lib/softhsm/libsofthsm2.so      # the token's library
 *     token: steno                                 # its label
 *     pin_file: /etc/steno/token.pin               # first line; readable by its owner only
 *     cas: [ssh-user, ssh-host]                    # default: all five
 *
 * Tested in pkcs11.test.ts.
 */
import { readFileSync, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { caNames } from './names.js';

const absolute = z.string().max(4096).refine(isAbsolute, 'is not an absolute path');
const signerSchema = z.strictObject({
  kind: z.literal('pkcs11'),
  module: absolute,
  token: z.string().min(1).max(32),
  pin_file: absolute,
  cas: z
    .array(z.enum(caNames))
    .min(1)
    .default([...caNames]),
});
export type SignerConfig = z.output<typeof signerSchema>;

const MAX_BYTES = 65_536;

/** Throws CA_SIGNER_CONFIG, naming the field. */
export function readSignerConfig(file: string): SignerConfig {
  let value: unknown;
  try {
    if (statSync(file).size > MAX_BYTES) throw new Error('it is too large');
    value = parse(readFileSync(file, 'utf8'), { maxAliasCount: 0 });
  } catch (error) {
    throw new StenoError('CA_SIGNER_CONFIG', `${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const parsed = signerSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new StenoError('CA_SIGNER_CONFIG', `${file}: ${issue?.path.join('.') || 'document'}: ${issue?.message ?? 'invalid'}`);
}
