/** Fetches the files of a session for `steno export` and `steno verify`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { exportSession } from '#schemas/api/recordings/sessions.js';
import type { ExportFormat } from '#schemas/api/recordings/sessions.js';
import { targetOf } from '#schemas/endpoint/target.js';
import { StenoError } from '#schemas/base/errors.js';
import { isSessionId } from '#schemas/recording/line.js';

/** A recording that is verified is held in memory whole. */
export const MAX_VERIFY_BYTES = 1 << 30;

/** `at`: of a picture, `until`: of an animation that begins there, session time in ms. */
export function exportOf(id: string, format: ExportFormat, { at, until }: { readonly at?: number; readonly until?: number } = {}): string {
  return targetOf(exportSession.path, { id }, { format, at, until });
}

/** The session has no event log, or its Steno knows of none. */
export function noneThere(error: unknown): null {
  if (error instanceof StenoError && (error.code === 'NOT_FOUND' || error.code === 'BAD_REQUEST')) return null;
  throw error;
}

/** Polls twice a second until the result is finished or `patience` ms have passed. */
export async function untilFinished<T>(look: () => Promise<T>, unfinished: (found: T) => boolean, patience: number): Promise<T> {
  for (const until = Date.now() + patience; ; await sleep(500)) {
    const found = await look();
    if (!unfinished(found) || Date.now() >= until) return found;
  }
}

export function requireSession(id: string): void {
  if (!isSessionId(id)) throw new StenoError('SESSION_UNKNOWN', `"${id}" is no session id`);
}
