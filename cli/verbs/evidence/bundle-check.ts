/**
 * Checks a bundle as a whole: the manifest and its signature, every file it names, and that nothing lies beside them. What the recording and
 * the event log are worth, `steno verify` then says of the files themselves. Files are hashed as streams. Tested in bundle.test.ts.
 */
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import { hashOfFile } from './bundle.js';
import { MANIFEST, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, SIGNATURE, checkSignature, readManifest } from './bundle-manifest.js';
import type { BundleManifest } from './bundle-manifest.js';

export interface CheckedBundle {
  readonly manifest: BundleManifest;
  /** The user CA that was given issued the certificate of the signer; null: none was given. */
  readonly vouched: true | null;
  readonly recording: string;
  readonly events: string | null;
  readonly page: string | null;
}

export function isBundle(target: string): boolean {
  return lstatSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Throws BUNDLE_MALFORMED, BUNDLE_UNSIGNED. */
export async function checkBundle(folder: string, userCas: readonly Uint8Array[] | null): Promise<CheckedBundle> {
  const bad = (why: string): StenoError => new StenoError('BUNDLE_MALFORMED', why);
  const bytes = small(folder, MANIFEST, MAX_MANIFEST_BYTES);
  const manifest = readManifest(bytes);
  const { vouched } = checkSignature(small(folder, SIGNATURE, MAX_SIGNATURE_BYTES).toString('latin1'), bytes, manifest, userCas);
  if (vouched === false) throw new StenoError('BUNDLE_UNSIGNED', `it is signed by ${manifest.made_by}, whom another CA certified`);
  const named = new Set(manifest.files.map(({ path }) => path));
  for (const path of regularFiles(folder)) if (!named.has(path)) throw bad(`${path} is not in the manifest`);
  for (const { path, bytes: size, sha256 } of manifest.files) {
    const stat = lstatSync(join(folder, path), { throwIfNoEntry: false });
    if (stat?.isFile() !== true) throw bad(`${path} is missing`);
    if (stat.size !== size || (await hashOfFile(join(folder, path))).sha256 !== sha256) throw bad(`${path} is not what was signed`);
  }
  const file = (path: string): string | null => (named.has(path) ? join(folder, path) : null);
  const recording = file('recording.cast.zst');
  if (recording === null) throw bad('it has no recording');
  return { manifest, vouched, recording, events: file('events.zst'), page: file('session.html') };
}

function small(folder: string, name: string, most: number): Buffer {
  const stat = lstatSync(join(folder, name), { throwIfNoEntry: false });
  if (stat?.isFile() !== true) throw new StenoError('BUNDLE_MALFORMED', `${name} is missing`);
  if (stat.size > most) throw new StenoError('BUNDLE_MALFORMED', `${name} is too large`);
  return readFileSync(join(folder, name));
}

/** Lists the folder without manifest and signature. Links and anything else that is not a file do not belong in a bundle. */
function regularFiles(folder: string): readonly string[] {
  const found: string[] = [];
  const look = (below: string): void => {
    for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory() && below === '') look(path);
      else if (!entry.isFile()) throw new StenoError('BUNDLE_MALFORMED', `${path} is neither a file nor a folder of files`);
      else if (path !== MANIFEST && path !== SIGNATURE) found.push(path);
    }
  };
  look('');
  return found;
}
