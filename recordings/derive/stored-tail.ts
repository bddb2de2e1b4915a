/**
 * The end of a recording in parts: its blocks, and the state needed to continue deriving after the last one.
 *
 * The screen is rebuilt from the last anchor and the blocks since, by the same `Projection`, so further rows are the same as
 * without an interruption. Session totals come from the session's row, plus the parts that the row does not cover yet.
 * Tested in ingest/writing/session-writer.test.ts and ingest/writing/faults.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { Zstd } from '#runtime/zstd.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { BlockReader } from '../read/block-reader.js';
import { FrameReader, openPart } from '../read/stored-recording.js';
import type { StoredBlock, StoredPart } from '../read/stored-recording.js';
import { SessionSummary } from './event-rows.js';
import { Projection } from './projection.js';

interface TailParts {
  readonly objects: ObjectStore;
  readonly zstd: Zstd;
}

/** Reads parts backwards from the last, each once. */
export class StoredTail {
  readonly #parts: TailParts;
  readonly #stored: readonly StoredPart[];
  readonly #read = new Map<number, ReturnType<typeof openPart>>();

  constructor(parts: TailParts, stored: readonly StoredPart[]) {
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
    // Without a terminal, stream totals replace counted bytes, and a row does not tell the two apart.
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

  /** The projection after `more`, the blocks that follow part `last`. */
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
