/**
 * Builds the object of one part: zstd frames headed by keyframes, the proof, the seek table.
 *
 *     [keyframe] block+   one frame; a new one begins with each epoch
 *     proof               tags, checkpoint, id of the certificate
 *     seek table          of the data frames
 *
 * The same blocks and the same checkpoint give the same bytes. Tested in ingest/main.test.ts with the verifier and
 * stock zstd.
 */
import { TAG_BYTES } from '#schemas/recording/chain.js';
import { encodeProof, encodeSeekTable } from '#schemas/recording/container.js';
import type { PartProof } from '#schemas/recording/proof.js';
import { encodeLine } from '#schemas/recording/line.js';
import type { Keyframe } from '#schemas/recording/line.js';
import type { StoredCheckpoint } from '#schemas/recording/checkpoint.js';

export const LIVE_LEVEL = 3;

export interface HeldBlock {
  readonly n: number;
  readonly head: Uint8Array;
  readonly content: Uint8Array;
}

export interface HeldFrame {
  /** Session time in ms of the last line before this part. */
  readonly from: number;
  readonly keyframe: Keyframe | null;
  readonly blocks: HeldBlock[];
}

export class PartBuilder {
  readonly part: number;
  readonly firstBlock: number;
  readonly frames: HeldFrame[] = [];
  bytes = 0;

  constructor(part: number, firstBlock: number) {
    this.part = part;
    this.firstBlock = firstBlock;
  }

  startFrame(keyframe: Keyframe | null, from: number): void {
    this.frames.push({ keyframe, from, blocks: [] });
  }

  add(block: HeldBlock): void {
    this.frames.at(-1)!.blocks.push(block);
    this.bytes += block.content.length;
  }

  get blocks(): readonly HeldBlock[] {
    return this.frames.flatMap((frame) => frame.blocks);
  }

  /** `certificate`: its id in the object store. */
  object(checkpoint: StoredCheckpoint, certificate: string, compress: (content: Uint8Array, level: number) => Uint8Array): Uint8Array {
    const raw = this.frames.map(({ keyframe, blocks }) =>
      Buffer.concat([...(keyframe === null ? [] : [keyframeLine(keyframe)]), ...blocks.map(({ content }) => content)]),
    );
    const frames = raw.map((content) => compress(content, LIVE_LEVEL));
    return closeObject(
      frames,
      raw.map(({ length }) => length),
      {
        kind: 'part',
        part: this.part,
        first_block: this.firstBlock,
        tags: tagsOf(this.blocks.map(({ head }) => head)),
        checkpoint,
        certificate,
      },
    );
  }
}

export function keyframeLine(keyframe: Keyframe): Uint8Array {
  return Buffer.from(encodeLine(0, { code: 'k', data: keyframe }));
}

/** The first `TAG_BYTES` of each head. */
export function tagsOf(heads: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(heads.map((head) => head.subarray(0, TAG_BYTES)));
}

/** `index`: the frame of a sealed recording's index. */
export function closeObject(
  frames: readonly Uint8Array[],
  sizes: readonly number[],
  proof: PartProof,
  index: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const entries = frames.map((frame, i) => ({ compressed: frame.length, decompressed: sizes[i]! }));
  return Buffer.concat([...frames, encodeProof(proof), index, encodeSeekTable(entries)]);
}
