/**
 * Sealing: an ended recording is verified once more and compressed harder.
 *
 *   1. check      every block of every part is hashed again and compared with the signed checkpoints
 *        damage: the parts stay as they are, unsealed, and an audit row says so
 *   2. object     `recording.cast.zst`: frames of up to 4 MiB, level 22, one proof, and the index. It is put whole, and
 *                 from here on readers use it
 *        crash here: parts that nobody reads; the next attempt deletes them
 *   3. parts      are deleted
 *   4. row        the session becomes `sealed`. This comes last, so that a session whose sealing was interrupted is still `ended` and
 *                 is found at the next start.
 *
 * Several ingests may share the stores: a session is sealed under a lease, and before each of steps 2 to 4 the holder checks
 * that it still has the lease. A session being sealed by another ingest is checked again later, in case that ingest dies.
 *
 * Keyframes are taken from the parts: every anchor is kept, while keyframes at the head of parts are dropped. Sessions too
 * large for one in-memory put, and all sessions when `repack` is off (Object Lock), get a manifest over their parts in step
 * 2 instead. One session is sealed at a time, one frame at a time. Tested in ingest/writing/faults.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { MAX_FRAME_BYTES } from '#schemas/recording/container.js';
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import { MANIFEST_VERSION, certificateKey, encodeManifest, manifestKey, sealedKey } from '#schemas/recording/layout.js';
import type { Manifest, ManifestFrame, ManifestSegment } from '#schemas/recording/layout.js';
import { encodeIndex } from '#schemas/recording/sealed.js';
import { withHeader } from '#schemas/recording/checkpoint.js';
import type { PartProof } from '#schemas/recording/proof.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { Log } from '#runtime/log.js';
import type { Alone } from '#stores/leases/keeper.js';
import type { Backlog } from '../writing/backlog.js';
import { BlockReader } from '#recordings/read/block-reader.js';
import { commitSession } from '../writing/commit.js';
import { SessionSummary } from '#recordings/derive/event-rows.js';
import { LIVE_LEVEL, closeObject, keyframeLine, tagsOf } from '../writing/part.js';
import { faultOf } from '#recordings/read/walk.js';
import { prefixOf } from '../writing/recovery.js';
import { sha256 } from '#runtime/sha256.js';
import type { WriterParts } from '../writing/session-writer.js';
import { checkpointFault } from '#recordings/read/checkpoint-signature.js';
import { FrameReader, listParts, openPart, readManifest } from '#recordings/read/stored-recording.js';
import type { Place, StoredBlock, StoredPart } from '#recordings/read/stored-recording.js';

export type Compress = (content: Uint8Array, level: number) => Promise<Uint8Array>;

export interface SealParts extends WriterParts {
  readonly compress: Compress;
  readonly repack: boolean;
  readonly log: Log;
  readonly clock: () => number;
  readonly backlog: Backlog;
  /** If several ingests share the stores: `underLease`, with this process as the holder. */
  readonly alone?: Alone;
}

/** Sealing may be another ingest's turn, or the authority or its store is unreachable. */
const unsettled: ReadonlySet<string> = new Set(['LEASE_LOST', 'NOT_RUNNING', 'STORE_UNAVAILABLE']);
/** Longer than a lease: by then an ingest that died has lost its lease. */
const LOOK_AGAIN_MS = 90_000;
const SEALED_LEVEL = 22;
/**
 * Data compressed to no less than this fraction of its size in the parts is base64 noise: nothing makes it smaller, and a
 * high level takes a second per MiB.
 */
const INCOMPRESSIBLE = 0.7;
const MAX_SEALED_FRAME = MAX_FRAME_BYTES;
/** Above this many bytes of parts, or blocks, the parts are kept. */
const MAX_REPACKED_BYTES = 128 << 20;
const MAX_REPACKED_BLOCKS = 1_000_000;

export class Sealer {
  readonly #parts: SealParts;
  readonly #queue = new Set<string>();
  readonly #waiting = new Set<NodeJS.Timeout>();
  #running: Promise<void> | undefined;
  #closing = false;

  constructor(parts: SealParts) {
    this.#parts = parts;
  }

  add(session: string): void {
    if (this.#closing || this.#queue.has(session)) return;
    this.#parts.backlog.add();
    this.#queue.add(session);
    this.#running ??= this.#run();
  }

  /** Finds sessions that had ended but were not sealed when the last process stopped. */
  resume(): void {
    void this.#find().catch((error: unknown) => this.#parts.log.warn({ err: error }, 'failed to look for sessions to seal'));
  }

  /** Resolves when the queue is empty. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async close(): Promise<void> {
    this.#closing = true;
    for (const timer of this.#waiting) clearTimeout(timer);
    this.#parts.backlog.settle(this.#queue.size);
    this.#queue.clear();
    await this.#running;
  }

  async #find(): Promise<void> {
    for (const state of ['ended', 'interrupted'] as const) {
      let cursor: string | null = null;
      do {
        const from: string | null = cursor;
        const page: { readonly rows: readonly SessionRow[]; readonly next: string | null } = await this.#parts.eventRetry.run(
          () => this.#parts.events.sessions({ state, limit: 500, cursor: from ?? undefined }),
          () => this.#closing,
        );
        // An interrupted session keeps that state when sealed; the version tells.
        for (const { session, version } of page.rows) if (version < SEALED_VERSION) this.add(session);
        cursor = page.next;
      } while (cursor !== null && !this.#closing);
    }
  }

  async #run(): Promise<void> {
    try {
      for (const session of this.#queue) {
        this.#queue.delete(session);
        try {
          await this.#alone(session);
        } catch (error) {
          if (error instanceof StenoError && error.code === 'DRAINING') return;
          // Nothing is wrong with the recording.
          if (error instanceof StenoError && unsettled.has(error.code)) {
            this.#later(session);
            continue;
          }
          this.#parts.log.error({ session, err: error }, 'the session cannot be sealed; its parts stay');
          await this.#audit(session, error).catch(() => undefined);
        } finally {
          this.#parts.backlog.settle();
        }
        if (this.#closing) return;
      }
    } finally {
      // In the same turn in which the queue was seen empty: a session added a moment later must start the next run.
      this.#running = undefined;
    }
  }

  async #alone(session: string): Promise<void> {
    const stopped = (): boolean => this.#closing;
    const { alone } = this.#parts;
    if (alone === undefined) return seal(this.#parts, session, stopped);
    const outcome = await alone(`seal/${session}`, ({ check }) => seal(this.#parts, session, stopped, check));
    if (outcome.kind === 'held elsewhere') this.#later(session);
  }

  #later(session: string): void {
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      this.add(session);
    }, LOOK_AGAIN_MS);
    timer.unref();
    this.#waiting.add(timer);
  }

  async #audit(session: string, error: unknown): Promise<void> {
    const { code, detail } = faultOf(error);
    const id = `seal ${session}`;
    await this.#parts.batch.add({
      id,
      audit: [
        {
          id,
          at: this.#parts.clock(),
          event: 'recording.damaged',
          actor: 'ingest',
          target: session,
          outcome: 'failure',
          code,
          reason: detail,
          source_address: '',
          session,
          node: '',
          login: '',
          data: '{}',
        },
      ],
    });
  }
}

/**
 * Performs the four steps, or those that remain. `check` runs before each step that changes something, and throws if another
 * process may be at work. Throws VERIFY_ALTERED if the parts do not match their signatures.
 */
export async function seal(
  parts: SealParts,
  session: string,
  stopped: () => boolean = () => false,
  check: () => Promise<void> = async () => undefined,
): Promise<void> {
  const { objects, objectRetry } = parts;
  const retry = <T>(act: () => Promise<T>): Promise<T> => objectRetry.run(act, stopped);
  const { prefix, startedAt, row } = await retry(() => prefixOf(parts, session));
  // Another ingest has sealed it.
  if (parts.alone !== undefined && row !== undefined && row.version >= SEALED_VERSION) return;
  let manifest = await retry(() => readManifest(objects, prefix, { session, startedAt }));
  const stored = await retry(() =>
    listParts(objects, prefix).catch((error: unknown) => {
      // Some of the parts have already been deleted.
      if (manifest !== null && error instanceof StenoError && error.code === 'RECORDING_MALFORMED') return remaining(objects, prefix);
      throw error;
    }),
  );
  let summary: SessionSummary | null = null;
  if (manifest === null) {
    if (stored.length === 0) return;
    const made = await pack(parts, prefix, { session, startedAt }, stored, retry);
    summary = made.summary;
    manifest = made.manifest;
    const [key, object] = made.object === null ? [manifestKey(prefix), encodeManifest(made.manifest)] : [sealedKey(prefix), made.object];
    await check();
    await retry(() => objects.put(key, object));
  }
  const named = new Set(manifest.objects.map(({ key }) => key));
  await check();
  for (const { key } of stored) if (!named.has(key)) await retry(() => objects.delete(key));
  await check();
  const bytes = manifest.objects.reduce((sum, object) => sum + object.bytes, 0);
  const before = summary === null ? row : summary.row(0, 'ended', manifest.head, bytes);
  if (before === undefined) throw new StenoError('STORE_NOT_FOUND', 'the row of the session');
  const state = manifest.end === 'complete' ? 'sealed' : 'interrupted';
  await commitSession(parts, {
    ...before,
    state,
    version: SEALED_VERSION,
    stored_bytes: bytes,
    ended_at: manifest.started_at + manifest.duration,
  });
}

/** Above any part number: sealing is the last thing that happens to a session. */
export const SEALED_VERSION = 4_000_000_000;

async function remaining(objects: WriterParts['objects'], prefix: string): Promise<StoredPart[]> {
  const left: StoredPart[] = [];
  for await (const { key, size } of objects.list(`${prefix}part-`)) left.push({ part: left.length + 1, key, bytes: size });
  return left;
}

interface Packed {
  readonly manifest: Manifest;
  /** Null: the parts are kept. */
  readonly object: Uint8Array | null;
  readonly summary: SessionSummary;
}

async function pack(
  parts: SealParts,
  prefix: string,
  { session, startedAt }: Place,
  stored: readonly StoredPart[],
  retry: <T>(act: () => Promise<T>) => Promise<T>,
): Promise<Packed> {
  const { objects, zstd } = parts;
  const check = new ChainCheck(parts.trusted());
  const total = stored.reduce((sum, { bytes }) => sum + bytes, 0);
  const last = openPart(await retry(() => objects.get(stored.at(-1)!.key))).proof;
  if (last.checkpoint.end === 'open') throw new StenoError('VERIFY_TRUNCATED', 'the last part does not close the session');
  const repack = parts.repack && total <= MAX_REPACKED_BYTES && last.checkpoint.block <= MAX_REPACKED_BLOCKS;
  const packer = new FramePacker(parts.compress, zstd);
  const kept: ManifestFrame[] = [];
  const reader = new FrameReader(zstd);
  const certificates = new Set<string>();
  for (const [index, { key }] of stored.entries()) {
    const { frames, proof } = openPart(await retry(() => objects.get(key)));
    certificates.add(proof.certificate);
    for (const frame of frames) {
      const content = zstd.decompress(frame.bytes);
      const blocks = [...reader.blocks(frame.bytes)];
      for (const block of blocks) check.add(block);
      if (repack) {
        for (const block of blocks) await packer.add(block, frame.bytes.length / content.length);
      } else if (blocks[0] !== undefined) {
        kept.push({
          object: index,
          offset: frame.offset,
          compressed: frame.bytes.length,
          decompressed: content.length,
          segments: [{ offset: 0, start: blocks[0].from, first_block: blocks[0].n }],
        });
      }
    }
    check.end(proof, await retry(() => objects.get(certificateKey(proof.certificate))));
    // Yield to everything else that this process has to do.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { header, summary } = check;
  const { checkpoint } = last;
  const manifest: Omit<Manifest, 'frames' | 'objects'> = {
    version: MANIFEST_VERSION,
    session,
    started_at: startedAt,
    duration: checkpoint.at,
    cols: header.term.cols,
    rows: header.term.rows,
    blocks: checkpoint.block,
    bytes: checkpoint.bytes,
    head: checkpoint.head,
    end: checkpoint.end === 'complete' ? 'complete' : 'interrupted',
    certificates: [...certificates],
  };
  if (!repack) {
    return { manifest: { ...manifest, objects: stored.map(({ key, bytes }) => ({ key, bytes })), frames: kept }, object: null, summary };
  }
  const proof: PartProof = { kind: 'part', part: 1, first_block: 1, tags: tagsOf(check.heads), checkpoint, certificate: last.certificate };
  const { frames, entries } = await packer.end();
  const object = closeObject(
    frames,
    entries.map(({ decompressed }) => decompressed),
    proof,
    encodeIndex(header.term, entries),
  );
  return {
    manifest: {
      ...manifest,
      certificates: [last.certificate],
      objects: [{ key: sealedKey(prefix), bytes: object.length }],
      frames: entries,
    },
    object,
    summary,
  };
}

/** Walks the chain over stored blocks and compares it with every proof. Throws VERIFY_ALTERED or VERIFY_UNSIGNED. */
class ChainCheck {
  readonly #trusted: readonly string[];
  readonly #reader = new BlockReader();
  readonly heads: Uint8Array[] = [];
  #head: Uint8Array | null = null;
  #header: RecordingHeader | null = null;
  #summary: SessionSummary | null = null;

  constructor(trusted: readonly string[]) {
    this.#trusted = trusted;
  }

  get header(): RecordingHeader {
    if (this.#header === null) throw new StenoError('VERIFY_ALTERED', 'the recording has no header');
    return this.#header;
  }

  get summary(): SessionSummary {
    return (this.#summary ??= new SessionSummary(this.header));
  }

  add(block: StoredBlock): void {
    const read = this.#reader.read(block.content);
    if (read.header !== null) {
      this.#header = read.header;
      this.#head = chainStart(sha256, read.header.steno.session);
      // Verifiers refuse a keyframe there, and ingest writes none.
      if (block.keyframe !== null) throw new StenoError('VERIFY_ALTERED', 'a keyframe precedes the first line');
    }
    this.summary.add(read);
    this.#head = chainNext(sha256, this.#head!, block.content);
    this.heads.push(this.#head);
  }

  end({ checkpoint, tags, first_block: first, part }: PartProof, certificate: Uint8Array): void {
    const good =
      checkpoint.block === this.heads.length &&
      checkpoint.at === this.#reader.at &&
      checkpoint.bytes === this.summary.bytes &&
      checkpoint.head === toHex(this.#head!) &&
      Buffer.compare(tags, tagsOf(this.heads.slice(first - 1))) === 0;
    if (!good) throw new StenoError('VERIFY_ALTERED', `part ${part} is not what was signed`);
    const fault = checkpointFault(withHeader(this.header.steno, checkpoint), certificate, this.#trusted);
    if (fault !== null) throw new StenoError('VERIFY_UNSIGNED', `part ${part}: ${fault}`);
  }
}

/** Packs blocks into frames, which begin at anchors if there are any. */
class FramePacker {
  readonly #compress: Compress;
  readonly #zstd: WriterParts['zstd'];
  readonly #frames: Uint8Array[] = [];
  readonly #entries: ManifestFrame[] = [];
  #offset = 0;
  /** The epoch being collected, preceded in its frame by whole earlier epochs. */
  #epoch: Uint8Array[] = [];
  #epochBytes = 0;
  #epochStart: Omit<ManifestSegment, 'offset'> | null = null;
  #content: Uint8Array[] = [];
  #bytes = 0;
  #segments: ManifestSegment[] = [];
  /** Compressed size of the epoch, and of the frame, in the parts, in bytes. */
  #epochStored = 0;
  #stored = 0;

  constructor(compress: Compress, zstd: WriterParts['zstd']) {
    this.#compress = compress;
    this.#zstd = zstd;
  }

  /** `ratio`: compressed to uncompressed size of the block's frame in its part. */
  async add(block: StoredBlock, ratio: number): Promise<void> {
    const anchor = block.keyframe?.anchor === true ? keyframeLine(block.keyframe) : null;
    // Without a terminal there are no anchors, and any block may begin a frame.
    const full = this.#epochBytes + block.content.length > MAX_SEALED_FRAME;
    if (anchor !== null || full) await this.#endEpoch();
    this.#epochStart ??= { start: block.from, first_block: block.n };
    this.#epochStored += ratio * block.content.length;
    for (const bytes of anchor === null ? [block.content] : [anchor, block.content]) {
      this.#epoch.push(bytes);
      this.#epochBytes += bytes.length;
    }
  }

  async end(): Promise<{ readonly frames: readonly Uint8Array[]; readonly entries: readonly ManifestFrame[] }> {
    await this.#endEpoch();
    await this.#endFrame();
    return { frames: this.#frames, entries: this.#entries };
  }

  async #endEpoch(): Promise<void> {
    if (this.#epochStart === null) return;
    if (this.#bytes + this.#epochBytes > MAX_SEALED_FRAME) await this.#endFrame();
    this.#segments.push({ offset: this.#bytes, ...this.#epochStart });
    this.#content.push(...this.#epoch);
    this.#bytes += this.#epochBytes;
    this.#stored += this.#epochStored;
    this.#epochStored = 0;
    this.#epoch = [];
    this.#epochBytes = 0;
    this.#epochStart = null;
  }

  async #endFrame(): Promise<void> {
    if (this.#bytes === 0) return;
    const content = Buffer.concat(this.#content);
    const frame = await this.#compress(content, this.#stored > INCOMPRESSIBLE * content.length ? LIVE_LEVEL : SEALED_LEVEL);
    // The parts are deleted after this, so check that the frame decompresses to the same bytes.
    if (!content.equals(this.#zstd.decompress(frame))) throw new StenoError('INTERNAL', 'a frame does not decompress to its input');
    this.#frames.push(frame);
    this.#entries.push({
      object: 0,
      offset: this.#offset,
      compressed: frame.length,
      decompressed: content.length,
      segments: this.#segments,
    });
    this.#offset += frame.length;
    this.#content = [];
    this.#bytes = 0;
    this.#stored = 0;
    this.#segments = [];
  }
}
