/**
 * The manifest of a bundle (docs/decisions/0123-evidence-bundle.md): every file with its SHA-256, signed with the login certificate of whoever
 * made it. A bundle is good byte for byte: the manifest and its signature have one spelling each, and no file lies beside those it names.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { armorSshsig, dearmorSshsig } from '#schemas/ssh/signature.js';
import { verify } from '#runtime/ssh/keys.js';
import { verifyMessage } from '#runtime/ssh/sshsig.js';
import { escapedJson } from '../../terminal/output.js';

/** Namespace of the signature: `ssh-keygen -Y verify -n steno-bundle`. */
export const BUNDLE_NAMESPACE = 'steno-bundle';
export const MANIFEST = 'manifest.json';
export const SIGNATURE = 'manifest.json.sig';
export const MAX_MANIFEST_BYTES = 1 << 20;
export const MAX_SIGNATURE_BYTES = 131_072;

const path = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*(?:\/[A-Za-z0-9][A-Za-z0-9._-]*)?$/, 'is no plain path');

const manifestSchema = z.strictObject({
  version: z.literal(1),
  kind: z.literal('steno-bundle'),
  steno: z.string().max(64),
  session: z.string().regex(sessionIdPattern, 'is no session id'),
  /** ms since 1970. */
  made_at: z.int().min(0),
  made_by: z.string().max(255),
  /** A principal of the certificate that signs: `ssh-keygen -Y verify -I` asks for one. */
  principal: z.string().max(255),
  cluster: z.string().max(255),
  /** Files that could not be included, with reasons. */
  missing: z.array(z.string().max(1024)).max(256),
  files: z
    .array(z.strictObject({ path, bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }))
    .min(1)
    .max(1024),
});
export type BundleManifest = z.output<typeof manifestSchema>;

export function manifestText(manifest: BundleManifest): string {
  return `${escapedJson(manifest, 1)}\n`;
}

/** Throws BUNDLE_MALFORMED for anything that Steno does not write. */
export function readManifest(bytes: Uint8Array): BundleManifest {
  const text = Buffer.from(bytes).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new StenoError('BUNDLE_MALFORMED', `${MANIFEST} is not JSON`);
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new StenoError('BUNDLE_MALFORMED', `${MANIFEST}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
  }
  if (!Buffer.from(manifestText(parsed.data)).equals(bytes))
    throw new StenoError('BUNDLE_MALFORMED', `${MANIFEST} is not spelled as Steno does`);
  const paths = parsed.data.files.map((file) => file.path);
  if (new Set(paths).size !== paths.length || paths.includes(MANIFEST) || paths.includes(SIGNATURE))
    throw new StenoError('BUNDLE_MALFORMED', `${MANIFEST} names a file twice, or itself`);
  return parsed.data;
}

export interface BundleSigner {
  readonly certificate: SshCertificate;
  /** The user CA that was given issued the certificate; null: none was given. */
  readonly vouched: boolean | null;
}

/**
 * Throws BUNDLE_MALFORMED for a signature that does not hold, or that is not under a certificate which was valid when the bundle was made.
 * `userCas`: blobs of the user CA; null: whose key it is, is not judged.
 */
export function checkSignature(
  armored: string,
  manifest: Uint8Array,
  facts: BundleManifest,
  userCas: readonly Uint8Array[] | null,
): BundleSigner {
  const bad = (why: string): StenoError => new StenoError('BUNDLE_MALFORMED', `${SIGNATURE}: ${why}`);
  let respelled: string;
  try {
    respelled = armorSshsig(dearmorSshsig(armored));
  } catch (error) {
    if (error instanceof StenoError) throw bad('it cannot be read');
    throw error;
  }
  if (respelled !== armored) throw bad('it is not spelled as OpenSSH does');
  const signer = verifyMessage(armored, manifest, BUNDLE_NAMESPACE);
  if (signer?.kind !== 'certificate') throw bad('it does not hold for this manifest');
  const { certificate } = signer;
  const seconds = BigInt(Math.floor(facts.made_at / 1000));
  if (!verify(certificate.signatureKey, certificate.signature, certificate.signed)) throw bad('the certificate of the signer was changed');
  if (certificate.kind !== 'user' || certificate.keyId !== facts.made_by || !certificate.principals.includes(facts.principal))
    throw bad('the certificate is not that of whoever the manifest names');
  if (seconds + 30n < certificate.validAfter || seconds >= certificate.validBefore)
    throw bad('the certificate was not valid when the bundle was made');
  const issuer = Buffer.from(certificate.signatureKey);
  return { certificate, vouched: userCas === null ? null : userCas.some((key) => issuer.equals(key)) };
}
