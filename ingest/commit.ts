/**
 * When a part of a recording is safe: the order of writes, and what a crash between two of them means.
 *
 *   1. rows       of all blocks of the part, and of the session itself, are in the event store
 *        crash here: rows without an object. The gateway sends the blocks again, they give the same rows under the same
 *        identity (projection.ts), and nothing is there twice.
 *   2. object     the gateway's certificate, then the part, put whole and only if absent
 *        crash here: a part whose session row is of the part before. Recovery (recovery.ts) finds the part by its key,
 *        goes on after it, and writes the row that is missing before it answers.
 *   3. row        of the session as it is after this part; its version is the number of the part
 *        crash here: all is stored and the gateway does not know. It opens the session again and hears how far it is.
 *   4. `ack stored` to the gateway, whose spool may forget the part
 *
 * A failure is not told from "done but reported as failed": every step is repeated until it succeeds, and every step is
 * the same when it is done twice. Tested as a table in faults.test.ts.
 */
import { certificateKey } from '#schemas/recording/layout.js';
import { certificateId } from '#schemas/recording/proof.js';
import type { SessionRow } from '#schemas/rows.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { RowBatch } from './row-batch.js';
import type { StoreRetry } from './store-retry.js';

export interface CommitParts {
  readonly objects: ObjectStore;
  /** Of the object store. */
  readonly objectRetry: StoreRetry;
  readonly batch: RowBatch;
}

export interface Commit {
  /** Step 1, under way since the blocks arrived. */
  readonly rows: Promise<unknown>;
  readonly certificate: { readonly fingerprint: string; readonly blob: Uint8Array };
  readonly key: string;
  readonly object: Uint8Array;
  readonly row: SessionRow;
  /** Whether whoever asked has gone: then no further try is made. */
  readonly stopped: () => boolean;
}

/** Resolves when the part may be acknowledged. */
export async function commitPart(parts: CommitParts, commit: Commit): Promise<void> {
  const { objects, objectRetry } = parts;
  const { certificate, stopped } = commit;
  await commit.rows;
  await putCertificate(parts, certificate, stopped);
  await objectRetry.run(() => objects.put(commit.key, commit.object, { ifAbsent: true }), stopped);
  await commitSession(parts, commit.row);
}

/** Certificates that this process has put, or is putting, by fingerprint. */
const certificates = new WeakMap<ObjectStore, Map<string, Promise<void>>>();
const MAX_CERTIFICATES = 1000;

/** Once, not for every part; and one at a time, since a store that is no S3 to the letter may show half of an object to a second writer. */
async function putCertificate(
  { objects, objectRetry }: CommitParts,
  { fingerprint, blob }: Commit['certificate'],
  stopped: () => boolean,
): Promise<void> {
  const known = certificates.get(objects) ?? new Map<string, Promise<void>>();
  certificates.set(objects, known);
  for (let other = known.get(fingerprint); other !== undefined; other = known.get(fingerprint)) {
    // Who was putting it may have stopped.
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

/** Step 3, which recovery and sealing take as well. */
export async function commitSession({ batch }: CommitParts, row: SessionRow): Promise<void> {
  await batch.add({ id: `session ${row.session} ${row.version} ${row.state} ${row.stored_bytes}`, sessions: [row] });
}
