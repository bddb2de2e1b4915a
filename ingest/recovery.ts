/**
 * Taking up a session where its objects end: after a restart, after a lost connection, and after a pause.
 *
 * The last part's proof says block, head and offset. The screen is made from the last anchor and the blocks since,
 * by the same `Projection` that made them the first time, so what comes next is the same as if nothing had happened.
 * What adds up over the session comes from its row, or from the parts that the row does not know yet. Tested in
 * session-writer.test.ts and faults.test.ts.
 */
import { StenoError } from '#schemas/errors.js';
import type { StoredCheckpoint } from '#schemas/recording/checkpoint.js';
import { recordingPrefix } from '#schemas/recording/layout.js';
import type { PartProof } from '#schemas/recording/proof.js';
import { sessionTime } from '#schemas/recording/line.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { SessionRow } from '#schemas/rows.js';
import type { Zstd } from '#runtime/zstd.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { BlockReader } from './block-reader.js';
import { SessionSummary } from './event-rows.js';
import { Projection } from './projection.js';
import { FrameReader, listParts, openPart, readManifest } from './stored-recording.js';
import type { StoredBlock, StoredPart } from './stored-recording.js';

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
  /** `row`: of the session as it should be, when the one in the store is older. */
  | {
      readonly kind: 'closed';
      readonly blocks: number;
      readonly gateway: string | null;
      readonly sealed: boolean;
      readonly row: SessionRow | null;
      readonly startedAt: number;
    }
  | { readonly kind: 'open'; readonly state: OpenState; readonly row: SessionRow | null };

/** Where the recording lies: by the start in its row, else by the id, which is made at the start. */
export async function prefixOf(
  { events }: Pick<RecoveryParts, 'events'>,
  session: string,
): Promise<{ readonly prefix: string; readonly startedAt: number; readonly row: SessionRow | undefined }> {
  const row = await events.session(session);
  const startedAt = row?.started_at ?? sessionTime(session);
  return { prefix: recordingPrefix(session, startedAt), startedAt, row };
}

export async function recover(parts: RecoveryParts, session: string): Promise<Recovered> {
  const { prefix, startedAt, row } = await prefixOf(parts, session);
  const manifest = await readManifest(parts.objects, prefix, { session, startedAt });
  if (manifest !== null)
    return { kind: 'closed', blocks: manifest.blocks, gateway: row?.gateway ?? null, sealed: true, row: null, startedAt };
  const stored = await listParts(parts.objects, prefix);
  const last = stored.at(-1);
  if (last === undefined) return { kind: 'new' };
  const tail = new StoredTail(parts, stored);
  const { proof } = await tail.part(last.part);
  const { checkpoint } = proof;
  const header = await tail.header();
  const summary = await tail.summary(header, row);
  const fresh = rowOf(summary, checkpoint, last.part, stored);
  const missing = row === undefined || row.version < last.part ? fresh : null;
  if (checkpoint.end !== 'open')
    return { kind: 'closed', blocks: checkpoint.block, gateway: header.steno.gateway, sealed: false, row: missing, startedAt };
  const projection = await tail.projection(header, last.part, []);
  return { kind: 'open', state: { header, prefix, parts: stored, proof, summary, ...projection }, row: missing };
}

/** The session's row after part `part`. */
export function rowOf(
  summary: SessionSummary,
  checkpoint: StoredCheckpoint,
  part: number,
  stored: readonly { readonly bytes: number }[],
): SessionRow {
  const state = checkpoint.end === 'open' ? 'live' : checkpoint.end === 'complete' ? 'ended' : 'interrupted';
  return summary.row(
    part,
    state,
    checkpoint.head,
    stored.reduce((sum, { bytes }) => sum + bytes, 0),
  );
}

/** Parts read from the last one backwards, each once. */
export class StoredTail {
  readonly #parts: Pick<RecoveryParts, 'objects' | 'zstd'>;
  readonly #stored: readonly StoredPart[];
  readonly #read = new Map<number, ReturnType<typeof openPart>>();

  constructor(parts: Pick<RecoveryParts, 'objects' | 'zstd'>, stored: readonly StoredPart[]) {
    this.#parts = parts;
    this.#stored = stored;
  }

  async part(part: number): Promise<ReturnType<typeof openPart>> {
    let read = this.#read.get(part);
    if (read === undefined) {
      read = openPart(await this.#parts.objects.get(this.#stored[part - 1]!.key));
      this.#read.set(part, read);
    }
    return read;
  }

  async blocks(part: number): Promise<StoredBlock[]> {
    const { frames, proof } = await this.part(part);
    const at = part === 1 ? 0 : (await this.part(part - 1)).proof.checkpoint.at;
    const reader = new FrameReader(this.#parts.zstd, { n: proof.first_block - 1, at });
    return frames.flatMap(({ bytes }) => [...reader.blocks(bytes)]);
  }

  async header(): Promise<RecordingHeader> {
    const [first] = await this.blocks(1);
    const header = first === undefined ? null : new BlockReader().read(first.content).header;
    if (header === null) throw new StenoError('RECORDING_MALFORMED', 'the first part has no header');
    return header;
  }

  async summary(header: RecordingHeader, row: SessionRow | undefined): Promise<SessionSummary> {
    // Without a terminal, totals of streams replace what was counted: a row does not tell the two apart.
    const known = header.steno.tty && row !== undefined && row.version <= this.#stored.length ? row.version : 0;
    const summary =
      known === 0 ? new SessionSummary(header) : SessionSummary.resume(header, row!, (await this.part(known)).proof.checkpoint.at);
    for (let part = known + 1; part <= this.#stored.length; part++) {
      const blocks = await this.blocks(part);
      if (blocks[0] === undefined) continue;
      const reader = new BlockReader({ n: blocks[0].n - 1, at: blocks[0].from });
      for (const { content } of blocks) summary.add(reader.read(content));
    }
    return summary;
  }

  /** The projection after `more`, blocks that follow part `last`. */
  async projection(
    header: RecordingHeader,
    last: number,
    more: readonly StoredBlock[],
  ): Promise<{ readonly reader: BlockReader; readonly projection: Projection }> {
    let blocks = sinceAnchor(more);
    for (let part = last; part >= 1 && !(header.steno.tty && blocks[0]?.keyframe?.anchor === true); part--) {
      blocks = [...sinceAnchor(await this.blocks(part), !header.steno.tty), ...blocks];
    }
    const first = blocks[0];
    if (first === undefined) throw new StenoError('RECORDING_MALFORMED', 'a recording without blocks');
    const anchor = first.keyframe?.anchor === true ? { keyframe: first.keyframe, at: first.from } : undefined;
    const projection = new Projection(header, anchor);
    const reader = new BlockReader({ n: first.n - 1, at: first.from });
    for (const { content } of blocks) projection.block(reader.read(content));
    return { reader, projection };
  }
}

function sinceAnchor(blocks: readonly StoredBlock[], all = false): readonly StoredBlock[] {
  const anchor = all ? -1 : blocks.findLastIndex(({ keyframe }) => keyframe?.anchor === true);
  return anchor < 0 ? blocks : blocks.slice(anchor);
}
