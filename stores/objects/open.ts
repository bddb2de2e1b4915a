/** Opens the recordings' object store: a folder, or a bucket. Tested in open.test.ts. */
import { StenoError } from '#schemas/base/errors.js';
import { checkPrefix } from './contract.js';
import type { ObjectStore } from './contract.js';
import { openDirectoryStore } from './directory.js';
import { overlay } from './overlay.js';

export interface Bucket {
  readonly bucket: string;
  /** '' or a folder, with its slash at the end. */
  readonly prefix: string;
}

/** `s3://BUCKET/PREFIX`: with or without a slash at the end, the prefix is a folder. Throws USAGE. */
export function parseBucket(url: string): Bucket {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})(?:\/(.*))?$/.exec(url);
  if (match === null) throw new StenoError('USAGE', `"${url}" is not s3://BUCKET/PREFIX`);
  const folder = (match[2] ?? '').replace(/\/+$/, '');
  try {
    return { bucket: match[1]!, prefix: folder === '' ? '' : checkPrefix(`${folder}/`) };
  } catch (cause) {
    throw new StenoError('USAGE', `"${folder}" in "${url}" is not a valid prefix: segments of a-z, 0-9, ".", "_" and "-" joined by "/"`, {
      cause,
    });
  }
}

/** Every key begins with one of these (schemas/recording/layout.ts). */
const families = ['recordings/', 'gateways/'];

/**
 * `url`: `s3://BUCKET/PREFIX`, or null for the folder. Credentials, region and endpoint of a bucket come from the
 * environment, where the SDK looks for them; never from argv.
 *
 * Until 0.1.0 a prefix without a slash was prepended to keys unchanged: `s3://rec/p` wrote `precordings/...`. If such objects
 * are found, they are read and deleted as if they were in the folder, and `say` gets a line about it.
 */
export async function openObjects(url: string | null, folder: string, say: (line: string) => void = () => undefined): Promise<ObjectStore> {
  if (url === null) return openDirectoryStore(folder);
  const { bucket, prefix } = parseBucket(url);
  const endpoint = process.env['AWS_ENDPOINT_URL_S3'] ?? process.env['AWS_ENDPOINT_URL'];
  // Loaded only when used: the SDK is a quarter of the code that the process loads.
  const { openS3Store } = await import('./s3.js');
  const open = (at: string): Promise<ObjectStore> =>
    openS3Store({
      bucket,
      prefix: at,
      region: process.env['AWS_REGION'],
      ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    });
  const store = await open(prefix);
  if (prefix === '') return store;
  const bare = prefix.slice(0, -1);
  const older = await open(bare).catch((error: unknown) => {
    // A policy may allow only the folder; then no objects outside it are ours.
    if (error instanceof StenoError && error.code === 'STORE_UNAVAILABLE') return null;
    throw error;
  });
  if (older === null) return store;
  if (!(await holdsAny(older))) {
    await older.close();
    return store;
  }
  say(
    `Objects below s3://${bucket}/${bare}recordings/ were written without a slash after the prefix; they are read there, new ones go to s3://${bucket}/${prefix}recordings/.`,
  );
  return overlay(store, older);
}

async function holdsAny(store: ObjectStore): Promise<boolean> {
  for (const family of families) for await (const _ of store.list(family)) return true;
  return false;
}
