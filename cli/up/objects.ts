/** Where recordings are: a folder, or a bucket. */
import { StenoError } from '#schemas/errors.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { openS3Store } from '#stores/objects/s3.js';

/**
 * `url`: `s3://BUCKET/PREFIX`, or null for the folder. Credentials, region and endpoint of a bucket come from the
 * environment, where the SDK looks for them; never from argv.
 */
export async function openObjects(url: string | null, folder: string): Promise<ObjectStore> {
  if (url === null) return openDirectoryStore(folder);
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})(?:\/(.*))?$/.exec(url);
  if (match === null) throw new StenoError('USAGE', `"${url}" is not s3://BUCKET/PREFIX`);
  const endpoint = process.env['AWS_ENDPOINT_URL_S3'] ?? process.env['AWS_ENDPOINT_URL'];
  return openS3Store({
    bucket: match[1]!,
    prefix: match[2] ?? '',
    region: process.env['AWS_REGION'],
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
  });
}
