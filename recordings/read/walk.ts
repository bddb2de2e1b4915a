/**
 * The common walk over all stored recordings. A recording that cannot be read is reported as damaged, with the reason, and
 * the walk continues with the next. Only an unresponsive store ends the walk, since every later recording would fail the
 * same way. Tested in ingest/rebuild/walk.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { isSessionId } from '#schemas/recording/line.js';
import type { ObjectStore } from '#stores/objects/contract.js';

/** Why the work on one recording failed. */
export interface Fault {
  readonly code: ErrorCode;
  readonly detail: string;
}

export type Walked<T> =
  | { readonly kind: 'done'; readonly prefix: string; readonly result: T }
  | { readonly kind: 'damaged'; readonly prefix: string; readonly fault: Fault };

/** The folders of all recordings, as named by `recordingPrefix`, and everything else below `recordings/`. */
export async function* recordingPrefixes(objects: ObjectStore): AsyncGenerator<string> {
  let last = '';
  for await (const { key } of objects.list('recordings/')) {
    const prefix = key.slice(0, key.lastIndexOf('/') + 1);
    if (prefix !== last) yield prefix;
    last = prefix;
  }
}

/**
 * Runs `work` for each recording in order of the folders, except those that `skip` selects. Throws errors for which
 * `endsTheWalk` is true.
 */
export async function* walkRecordings<T>(
  objects: ObjectStore,
  work: (prefix: string) => Promise<T>,
  skip: (prefix: string) => boolean = () => false,
): AsyncGenerator<Walked<T>> {
  for await (const prefix of recordingPrefixes(objects)) {
    if (skip(prefix)) continue;
    try {
      if (!isFolder(prefix)) throw new StenoError('RECORDING_MALFORMED', 'not the folder of a recording');
      yield { kind: 'done', prefix, result: await work(prefix) };
    } catch (error) {
      if (endsTheWalk(error)) throw error;
      yield { kind: 'damaged', prefix, fault: faultOf(error) };
    }
  }
}

/** A store is unavailable, or this process is stopping. Every other error concerns only the one recording. */
export function endsTheWalk(error: unknown): boolean {
  return error instanceof StenoError && (error.code === 'STORE_UNAVAILABLE' || error.code === 'DRAINING');
}

export function faultOf(error: unknown): Fault {
  if (error instanceof StenoError) return { code: error.code, detail: error.detail ?? '' };
  // A bug that this recording exposes is no reason to skip the others.
  return { code: 'INTERNAL', detail: error instanceof Error ? error.name : '' };
}

const folder = /^recordings\/\d{4}\/\d{2}\/\d{2}\/([^/]+)\/$/;
function isFolder(prefix: string): boolean {
  const session = folder.exec(prefix)?.[1];
  return session !== undefined && isSessionId(session);
}
