/**
 * When parts of a recording are safe: the order of writes, and the effect of a crash between two of them.
 *
 * Parts signed while earlier ones are being written are then written together, as a group (session-writer.ts).
 *
 *   1. rows       of all blocks of the group, and of the session itself, are in the event store
 *        crash here: rows without an object. The gateway sends the blocks again; they give the same rows under
 *        the same identity (projection.ts), so no row is stored twice.
 *   2. objects    the gateway's certificate, then the parts in their order, each put whole and only if absent
 *        crash here, or between two parts: parts newer than their session row. Recovery (recovery.ts) finds them by their
 *        keys, without gaps since each was put before the next, continues after the last, and writes the missing row before
 *        it answers.
 *   3. row        of the session as it is after the last part of the group; its version is the number of that part
 *        crash here: everything is stored, but the gateway does not know. It opens the session again and is told how far it is
 *        stored. An event log has no such row: its parts carry everything.
 *   4. `ack stored` to the gateway, whose spool may forget the parts
 *
 * A failure cannot be told from a success reported as failure, so every step is idempotent and is repeated until it
 * succeeds. Tested as a table in faults.test.ts.
 */
import { certificateKey } from '#schemas/recording/layout.js';
import { certificateId } from '#schemas/recording/proof.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { RowBatch } from './row-batch.js';
import type { StoreRetry } from '#stores/store-retry.js';

export interface CommitParts {
  readonly objects: ObjectStore;
  /** Of the object store. */
  readonly objectRetry: StoreRetry;
  readonly batch: RowBatch;
}

export interface PartCommit {
  readonly key: string;
  readonly object: Uint8Array;
  /** Step 1, running since the blocks arrived. */
  readonly rows: Promise<unknown>;
  /** The session's row after this part; null for a part of an event log. */
  readonly row: SessionRow | null;
}

/**
 * `group`: consecutive parts of one session. `stopped`: whether the caller has gone, after which no further attempt is made.
 */
export async function commitParts(
  parts: CommitParts,
  certificate: { readonly fingerprint: string; readonly blob: Uint8Array },
  group: readonly PartCommit[],
  stopped: () => boolean,
): Promise<void> {
  const { objects, objectRetry } = parts;
  for (const { rows } of group) await rows;
  await putCertificate(parts, certificate, stopped);
  for (const { key, object } of group) await objectRetry.run(() => objects.put(key, object, { ifAbsent: true }), stopped);
  const row = group.at(-1)?.row ?? null;
  if (row !== null) await commitSession(parts, row);
}

/** Certificates that this process has put, or is putting, by fingerprint. */
const certificates = new WeakMap<ObjectStore, Map<string, Promise<void>>>();
const MAX_CERTIFICATES = 1000;

/**
 * Puts the certificate once, not for every part, and never concurrently: an object store that is not quite S3 may show a
 * second writer half an object.
 */
async function putCertificate(
  { objects, objectRetry }: CommitParts,
  { fingerprint, blob }: { readonly fingerprint: string; readonly blob: Uint8Array },
  stopped: () => boolean,
): Promise<void> {
  const known = certificates.get(objects) ?? new Map<string, Promise<void>>();
  certificates.set(objects, known);
  for (let other = known.get(fingerprint); other !== undefined; other = known.get(fingerprint)) {
    // The call that was putting it may have stopped.
    if (
      await other.then(
        () => true,
        () => false,
      )
    )
      return;
  }
  if (known.size >= MAX_CERTIFICATES) known.clear();
  const put = objectRetry.run(() => objects.put(certificateKey(certificateId(fingerprint)), blob, { ifAbsent: true }), stopped);
  known.set(fingerprint, put);
  try {
    await put;
  } catch (error) {
    known.delete(fingerprint);
    throw error;
  }
}

/** Step 3, also used by recovery and sealing. */
export async function commitSession({ batch }: CommitParts, row: SessionRow): Promise<void> {
  await batch.add({ id: `session ${row.session} ${row.version} ${row.state} ${row.stored_bytes}`, sessions: [row] });
}
