/** Fetches the signed files of a session to this machine, waits for unfinished ones, and checks them. Shared by all forms of `steno export`. */
import { createWriteStream, readFileSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isUnfinished, logPatience, verifyEventLog } from '#schemas/recording/event-log-check.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { openCompletenessCheck } from '#runtime/ssh/verifier.js';
import type { Client } from '../../client/client.js';
import { MAX_VERIFY_BYTES, exportOf, noneThere, untilFinished } from './fetch.js';

export interface FetchedFiles {
  /** Whether each is whole, whoever signed it; null: too large to be read as a whole, or none. */
  readonly recording: Verdict | null;
  readonly log: Verdict | null;
  readonly hasLog: boolean;
}

/** Writes the recording and its event log, if there is one; waits for the event log of a session that has just ended. */
export async function fetchFiles(
  client: Client,
  id: string,
  files: { readonly recording: string; readonly log: string },
  meter?: () => Transform,
): Promise<FetchedFiles> {
  await writeWhole(await client.stream(exportOf(id, 'cast.zst')), files.recording, meter);
  const check = await openCompletenessCheck();
  const recording = completenessOf(files.recording, check);
  let hasLog = false;
  // If the recording is not good, the log is exported unchecked; `steno verify` reports on it.
  const look = async (): Promise<Verdict | null> => {
    const body = await client.stream(exportOf(id, 'events.zst')).catch(noneThere);
    hasLog = body !== null;
    if (body !== null) await writeWhole(body, files.log);
    if (recording?.ok !== true) return null;
    if (body === null) return verifyEventLog(recording, null, check);
    const log = completenessOf(files.log, check);
    return log === null ? null : verifyEventLog(recording, readFileSync(files.log), () => log);
  };
  const log = await untilFinished(look, isUnfinished, recording?.ok === true ? logPatience(recording.checkpoint.time, Date.now()) : 0);
  return { recording, log, hasLog };
}

/** Whether the file is whole, whoever signed it; null: it is too large to be read as a whole. */
export function completenessOf(file: string, check: (file: Uint8Array) => Verdict): Verdict | null {
  return statSync(file).size > MAX_VERIFY_BYTES ? null : check(readFileSync(file));
}

/** A transfer that breaks leaves no half file under the name that was asked for. */
export async function writeWhole(body: AsyncIterable<Uint8Array>, file: string, meter?: () => Transform): Promise<void> {
  const temporary = `${file}.part`;
  const out = createWriteStream(temporary, { mode: 0o600 });
  try {
    await (meter === undefined ? pipeline(body, out) : pipeline(body, meter(), out));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
