/**
 * Resumes a session where its objects end: after a restart, a lost connection or a pause.
 *
 * The last part's proof gives block, head and offset; recordings/derive/stored-tail.ts derives the rest of the state from
 * the stored blocks. Tested in session-writer.test.ts and faults.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { StoredCheckpoint } from '#schemas/recording/checkpoint.js';
import { recordingPrefix } from '#schemas/recording/layout.js';
import type { PartProof } from '#schemas/recording/proof.js';
import { sessionTime } from '#schemas/recording/line.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { Zstd } from '#runtime/zstd.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { BlockReader } from '#recordings/read/block-reader.js';
import type { SessionSummary } from '#recordings/derive/event-rows.js';
import type { Projection } from '#recordings/derive/projection.js';
import { StoredTail } from '#recordings/derive/stored-tail.js';
import { listParts, readManifest } from '#recordings/read/stored-recording.js';
import type { StoredPart } from '#recordings/read/stored-recording.js';

export interface RecoveryParts {
  readonly objects: ObjectStore;
  readonly events: EventStore;
  readonly zstd: Zstd;
}

export interface OpenState {
  readonly header: RecordingHeader;
  readonly prefix: string;
  readonly parts: readonly StoredPart[];
  readonly proof: PartProof;
  readonly reader: BlockReader;
  readonly summary: SessionSummary;
  readonly projection: Projection;
}

export type Recovered =
  | { readonly kind: 'new' }
  /** `row`: the correct row of the session, if the one in the store is older. */
  | {
      readonly kind: 'closed';
      readonly blocks: number;
      readonly gateway: string | null;
      readonly sealed: boolean;
      readonly row: SessionRow | null;
      readonly startedAt: number;
    }
  | { readonly kind: 'open'; readonly state: OpenState; readonly row: SessionRow | null };

/** Where the recording is stored: by the start time in its row, or by the id, which is generated at the start. */
export async function prefixOf(
  { events }: Pick<RecoveryParts, 'events'>,
  session: string,
): Promise<{ readonly prefix: string; readonly startedAt: number; readonly row: SessionRow | undefined }> {
  const row = await events.session(session);
  const startedAt = row?.started_at ?? sessionTime(session);
  return { prefix: recordingPrefix(session, startedAt), startedAt, row };
}

/**
 * Reads the state of a session from the stores. Sealing may run concurrently: it puts the sealed object and the manifest
 * before it deletes the first part. Therefore parts are listed before the manifest is looked up; if a listed part is gone,
 * the manifest exists by now.
 */
export async function recover(parts: RecoveryParts, session: string): Promise<Recovered> {
  try {
    return await readStored(parts, session);
  } catch (error) {
    if (!(error instanceof StenoError) || error.code !== 'STORE_NOT_FOUND') throw error;
    const again = await readStored(parts, session);
    if (again.kind !== 'closed' || !again.sealed) throw error;
    return again;
  }
}

async function readStored(parts: RecoveryParts, session: string): Promise<Recovered> {
  const { prefix, startedAt, row } = await prefixOf(parts, session);
  const listed = await listParts(parts.objects, prefix).catch((error: unknown) => {
    // Some of the parts have been deleted, perhaps because the session was sealed.
    if (error instanceof StenoError && error.code === 'RECORDING_MALFORMED') return error;
    throw error;
  });
  const manifest = await readManifest(parts.objects, prefix, { session, startedAt });
  if (manifest !== null)
    return { kind: 'closed', blocks: manifest.blocks, gateway: row?.gateway ?? null, sealed: true, row: null, startedAt };
  if (listed instanceof StenoError) throw listed;
  const stored = listed;
  const last = stored.at(-1);
  if (last === undefined) return { kind: 'new' };
  const tail = new StoredTail(parts, stored);
  const { proof } = await tail.part(last.part);
  const { checkpoint } = proof;
  const header = await tail.header();
  const summary = await tail.summary(header, row);
  const fresh = rowOf(summary, checkpoint, last.part, bytesOf(stored));
  const missing = row === undefined || row.version < last.part ? fresh : null;
  if (checkpoint.end !== 'open')
    return { kind: 'closed', blocks: checkpoint.block, gateway: header.steno.gateway, sealed: false, row: missing, startedAt };
  const projection = await tail.projection(header, last.part, []);
  return { kind: 'open', state: { header, prefix, parts: stored, proof, summary, ...projection }, row: missing };
}

/** The session's row after part `part`; `bytes`: size of its objects so far. */
export function rowOf(summary: SessionSummary, checkpoint: StoredCheckpoint, part: number, bytes: number): SessionRow {
  const state = checkpoint.end === 'open' ? 'live' : checkpoint.end === 'complete' ? 'ended' : 'interrupted';
  return summary.row(part, state, checkpoint.head, bytes);
}

export function bytesOf(objects: readonly { readonly bytes: number }[]): number {
  return objects.reduce((sum, { bytes }) => sum + bytes, 0);
}
