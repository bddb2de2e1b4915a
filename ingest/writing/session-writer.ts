/**
 * One open session: turns its blocks and checkpoints into rows and objects.
 *
 *     recovering ──► open ──block──► open        chain, cut and lines checked; rows sent; held in memory
 *                     │  ──checkpoint──► open    signature checked; the part goes to commit.ts, in the background
 *                     │  ──close──► closed       the same, and nothing follows
 *                     │  ──30 s without output──► asleep ──block──► open   the terminal is released, and rebuilt
 *                     └──anything wrong──► refused (the caller tells the gateway and the audit)
 *
 * A writer lives as long as the connection: the next connection recovers from the stores. Tested in session-writer.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { EventRow } from '#schemas/events/rows.js';
import { MAX_DRAFT_BYTES } from '#schemas/uplink.js';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { partKey, recordingPrefix } from '#schemas/recording/layout.js';
import { certificateId } from '#schemas/recording/proof.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import { BlockReader } from '#recordings/read/block-reader.js';
import { BlockChain, broken } from './block-chain.js';
import { commitParts, commitSession } from './commit.js';
import type { CommitParts, PartCommit } from './commit.js';
import { SessionSummary } from '#recordings/derive/event-rows.js';
import { PartBuilder } from './part.js';
import { Projection } from '#recordings/derive/projection.js';
import type { Rows } from '#recordings/derive/projection.js';
import { StoredTail } from '#recordings/derive/stored-tail.js';
import { bytesOf, recover, rowOf } from './recovery.js';
import type { OpenState, RecoveryParts } from './recovery.js';
import { checkpointFault } from '#recordings/read/checkpoint-signature.js';
import type { StoredBlock, StoredPart } from '#recordings/read/stored-recording.js';
import type { StoreRetry } from '#stores/store-retry.js';

/** Upper bound for `started_at`, ms since 1970 (the year 2100). */
const MAX_STARTED_AT = 4_102_444_800_000;

export interface WriterParts extends CommitParts, RecoveryParts {
  readonly eventRetry: StoreRetry;
  /** Public key lines of the recording CA. */
  readonly trusted: () => readonly string[];
  /** Called with rows of an event log ahead of their block, which brings the same rows again. */
  readonly onDraft?: (events: readonly EventRow[]) => void;
}

/** The part of a stream's writer that a connection uses. */
export interface StreamWriter {
  readonly stored: number;
  readonly received: number;
  readonly closed: boolean;
  readonly startedAt: number;
  /** Bytes of a block that is not complete yet. */
  drafts(n: number, from: number, bytes: Uint8Array): void;
  block(n: number, headHex: string, content: Uint8Array): Promise<void>;
  checkpoint(
    part: number,
    checkpoint: SignedCheckpoint,
    closes: boolean,
  ): Promise<{ readonly bytes: number; readonly done: Promise<void> }>;
  close(): Promise<void>;
}

/** The result of `open`. */
export type Opened<W extends StreamWriter> =
  | { readonly kind: 'closed'; readonly blocks: number; readonly sealed: boolean; readonly startedAt: number }
  | { readonly kind: 'open'; readonly writer: W };

export interface WriterOwner {
  /** Name of the gateway, from its certificate of the service CA. */
  readonly gateway: string;
  readonly certificate: { readonly fingerprint: string; readonly blob: Uint8Array };
  /** Called when something was stored or became searchable. */
  readonly onProgress: () => void;
  /** Called when storing failed for good. */
  readonly onFailure: (error: unknown) => void;
  /** Called with true when the first follower of a recording starts, and with false when the last has stopped. */
  readonly onFollowed: (on: boolean) => void;
}

/** A part being written to the store. */
interface CommittingPart {
  readonly building: PartBuilder;
  readonly checkpoint: SignedCheckpoint;
  readonly stored: StoredPart;
  readonly commit: PartCommit;
}

/** The beginning of a block that is not complete yet, for followers only. */
interface Draft {
  readonly n: number;
  readonly content: Uint8Array;
}

export class SessionWriter implements StreamWriter {
  readonly session: string;
  readonly #parts: WriterParts;
  readonly #owner: WriterOwner;
  readonly #chain: BlockChain;
  #reader = new BlockReader();
  #header: RecordingHeader | null = null;
  #prefix = '';
  #summary: SessionSummary | null = null;
  #projection: Projection | null = null;
  #stored: StoredPart[] = [];
  /** Size of all objects, including those being written to the store. */
  #objectBytes = 0;
  /** Blocks up to this one are in committed parts. */
  #storedBlock = 0;
  #received = 0;
  #closed = false;
  #finished = false;
  #stopped = false;
  /** The part being built; before it, the parts being written to the store. */
  #building: PartBuilder;
  readonly #committing: CommittingPart[] = [];
  #failed = false;
  #rows: Promise<void>[] = [];
  #commits: Promise<void> = Promise.resolve();
  #waiters: (() => void)[] = [];
  #followers = 0;
  #draft: Draft | null = null;
  /** `performance.now()` at the last block. */
  touched = performance.now();

  private constructor(parts: WriterParts, session: string, owner: WriterOwner, state: OpenState | null) {
    this.#parts = parts;
    this.session = session;
    this.#owner = owner;
    this.#chain = new BlockChain(session, 'recording', state?.proof.checkpoint ?? null);
    this.#building = new PartBuilder(1, 1);
    if (state === null) return;
    const { checkpoint } = state.proof;
    this.#reader = state.reader;
    this.#header = state.header;
    this.#prefix = state.prefix;
    this.#summary = state.summary;
    this.#projection = state.projection;
    this.#stored = [...state.parts];
    this.#objectBytes = bytesOf(state.parts);
    this.#storedBlock = this.#received = checkpoint.block;
    this.#building = new PartBuilder(state.parts.length + 1, checkpoint.block + 1);
  }

  /** Recovers from the stores; waits while they do not answer. `closed`: nothing is left to write. */
  static async open(parts: WriterParts, session: string, owner: WriterOwner, stopped: () => boolean): Promise<Opened<SessionWriter>> {
    const found = await parts.objectRetry.run(() => recover(parts, session), stopped);
    const gateway = found.kind === 'open' ? found.state.header.steno.gateway : found.kind === 'closed' ? found.gateway : null;
    if (gateway !== null && gateway !== owner.gateway)
      throw new StenoError('UPLINK_UNAUTHENTICATED', `session ${session} is of another gateway`);
    if (found.kind !== 'new' && found.row !== null) await commitSession(parts, found.row);
    if (found.kind === 'closed') return found;
    return { kind: 'open', writer: new SessionWriter(parts, session, owner, found.kind === 'open' ? found.state : null) };
  }

  get stored(): number {
    return this.#storedBlock;
  }

  get received(): number {
    return Math.max(this.#received, this.#storedBlock);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get startedAt(): number {
    return this.#header?.steno.started_at ?? 0;
  }

  /** Throws UPLINK_CHAIN_BROKEN or UPLINK_MALFORMED. The caller awaits each call before the next. */
  async block(n: number, headHex: string, content: Uint8Array): Promise<void> {
    this.touched = performance.now();
    const head = this.#chain.follow(n, headHex, content, { closed: this.#finished, unsigned: this.#building.bytes });
    if (head === null) return;
    await this.#wake();
    const read = this.#read(content);
    if (read.header !== null) this.#begin(read.header);
    const projection = this.#projection!;
    const summary = this.#summary!;
    const first = this.#building.frames.length === 0;
    const snapshot = first && read.n > 1 ? projection.snapshot() : null;
    const projected = projection.block(read);
    summary.add(read);
    if (first || projected.startsEpoch) this.#building.startFrame(projected.anchor ?? snapshot, read.from);
    this.#building.add({ n, head, content });
    this.#chain.add(head, content);
    this.#draft = null;
    this.#addRows(`${this.session} ${n}`, n, projected, n === 1);
    this.#tell();
  }

  /** Throws UPLINK_CHAIN_BROKEN or UPLINK_SIGNATURE. Resolves when checked; `done` resolves when the part is stored. */
  async checkpoint(
    part: number,
    checkpoint: SignedCheckpoint,
    closes: boolean,
  ): Promise<{ readonly bytes: number; readonly done: Promise<void> }> {
    const building = this.#building;
    if (part < building.part) return { bytes: 0, done: this.#commits };
    const header = this.#header;
    if (header === null || this.#finished) throw broken(checkpoint.block, 'a checkpoint is not allowed here');
    const says = (what: string): StenoError => broken(checkpoint.block, `the checkpoint of part ${part} has another ${what}`);
    if (part !== building.part) throw says('number');
    if (checkpoint.session !== this.session || checkpoint.gateway !== this.#owner.gateway || checkpoint.counter !== header.steno.counter)
      throw says('session');
    if (closes !== (checkpoint.end !== 'open')) throw says('end');
    if (!this.#chain.fits(checkpoint, this.#reader.at)) throw says('head');
    if (building.bytes === 0 && !closes) throw says('end: it covers nothing');
    const { certificate } = this.#owner;
    const fault = checkpointFault(checkpoint, certificate.blob, this.#parts.trusted());
    if (fault !== null) throw new StenoError('UPLINK_SIGNATURE', `session ${this.session}: ${fault}`);
    if (closes) {
      await this.#wake();
      this.#finished = true;
      const { n } = this.#chain;
      this.#addRows(`${this.session} ${n} finish`, n, this.#projection!.finish(), false);
    }
    return { bytes: building.bytes, done: this.#commit(checkpoint) };
  }

  /** Releases the terminal; the next block rebuilds it from the stores and from memory. */
  sleep(): void {
    if (this.#header?.steno.tty !== true) return;
    this.#projection?.dispose();
    this.#projection = null;
  }

  /** Registers a follower; returns a function that ends it. */
  followed(): () => void {
    if (this.#followers++ === 0) this.#owner.onFollowed(true);
    let follows = true;
    return () => {
      if (follows && --this.#followers === 0 && !this.#stopped && !this.#closed) this.#owner.onFollowed(false);
      follows = false;
    };
  }

  /** Takes bytes of the next block, from byte `from` on. Bytes that do not continue the draft are dropped; the block brings them. */
  drafts(n: number, from: number, bytes: Uint8Array): void {
    const before = from === 0 ? new Uint8Array(0) : this.#draft?.n === n ? this.#draft.content : null;
    if (n !== this.#chain.n + 1 || before?.length !== from || from + bytes.length > MAX_DRAFT_BYTES) return;
    this.#draft = { n, content: Buffer.concat([before, bytes]) };
    this.#tell();
  }

  get draft(): Draft | null {
    return this.#draft;
  }

  /** Blocks after block `n`, if they are all in memory. */
  held(n: number): readonly { readonly n: number; readonly head: Uint8Array; readonly content: Uint8Array }[] {
    return this.#unstored.flatMap(({ blocks }) => blocks).filter((block) => block.n > n);
  }

  get #unstored(): readonly PartBuilder[] {
    return [...this.#committing.map(({ building }) => building), this.#building];
  }

  get last(): number {
    return this.#chain.n;
  }

  get storedParts(): readonly StoredPart[] {
    return this.#stored;
  }

  /** Resolves at the next block or draft, at the end, or when the writer closes. */
  change(): Promise<void> {
    return this.#stopped ? Promise.resolve() : new Promise((resolve) => this.#waiters.push(resolve));
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Waits for writes in progress; retries none. */
  async close(): Promise<void> {
    this.#stopped = true;
    this.#tell();
    await this.#commits;
    this.#projection?.dispose();
    this.#projection = null;
  }

  #read(content: Uint8Array): ReturnType<BlockReader['read']> {
    try {
      return this.#reader.read(content);
    } catch (error) {
      if (error instanceof StenoError) throw new StenoError('UPLINK_CHAIN_BROKEN', `session ${this.session}: ${error.detail ?? ''}`);
      throw error;
    }
  }

  #begin(header: RecordingHeader): void {
    const { session, gateway, started_at: startedAt } = header.steno;
    if (session !== this.session || gateway !== this.#owner.gateway) throw broken(1, 'the header is of another session or gateway');
    if (!Number.isSafeInteger(startedAt) || startedAt < 0 || startedAt > MAX_STARTED_AT) throw broken(1, 'the header has no start time');
    if (!Number.isSafeInteger(header.steno.counter) || header.steno.counter < 0) throw broken(1, 'the header has no counter');
    this.#header = header;
    this.#prefix = recordingPrefix(session, startedAt);
    this.#summary = new SessionSummary(header);
    this.#projection = new Projection(header);
  }

  #addRows(id: string, n: number, { screen, events }: Rows, first: boolean): void {
    const sessions = first ? [this.#summary!.row(0, 'live', '', 0)] : [];
    if (!first && screen.length === 0 && events.length === 0) {
      // Nothing to insert; acknowledge as received after the rows before it.
      this.#rows.push((this.#rows.at(-1) ?? Promise.resolve()).then(() => this.#receive(n)));
    } else {
      this.#rows.push(this.#parts.batch.add({ id, screen, events, sessions }).then(() => this.#receive(n)));
    }
    this.#rows.at(-1)!.catch(() => undefined);
  }

  #receive(n: number): void {
    if (this.#stopped || n <= this.#received) return;
    this.#received = n;
    this.#owner.onProgress();
  }

  #commit(checkpoint: SignedCheckpoint): Promise<void> {
    const building = this.#building;
    const object = building.object(checkpoint, certificateId(this.#owner.certificate.fingerprint), (content, level) =>
      this.#parts.zstd.compress(content, level),
    );
    const stored: StoredPart = { part: building.part, key: partKey(this.#prefix, building.part), bytes: object.length };
    this.#objectBytes += object.length;
    const row = rowOf(this.#summary!, checkpoint, building.part, this.#objectBytes);
    const rows = Promise.all(this.#rows);
    rows.catch(() => undefined);
    this.#rows = [];
    this.#committing.push({ building, checkpoint, stored, commit: { key: stored.key, object, rows, row } });
    this.#building = new PartBuilder(building.part + 1, checkpoint.block + 1);
    // Parts signed while a group is being written form the next group; a call that finds nothing left was written with it.
    this.#commits = this.#commits
      .then(() => this.#commitGroup())
      .catch((error: unknown) => {
        const abandoned = error instanceof StenoError && error.code === 'DRAINING';
        this.#failed = true;
        this.#stopped = true;
        this.#tell();
        if (!abandoned) this.#owner.onFailure(error);
      });
    return this.#commits;
  }

  async #commitGroup(): Promise<void> {
    const group = [...this.#committing];
    if (group.length === 0 || this.#failed) return;
    await commitParts(
      this.#parts,
      this.#owner.certificate,
      group.map(({ commit }) => commit),
      () => this.#stopped,
    );
    this.#committing.splice(0, group.length);
    this.#stored.push(...group.map(({ stored }) => stored));
    const { checkpoint, building } = group.at(-1)!;
    this.#storedBlock = checkpoint.block;
    this.#closed = checkpoint.end !== 'open';
    this.#chain.forget(building.firstBlock);
    if (!this.#stopped) this.#owner.onProgress();
    this.#tell();
  }

  async #wake(): Promise<void> {
    if (this.#projection !== null || this.#header === null) return;
    const header = this.#header;
    const stored = [...this.#stored];
    const frames = this.#unstored.flatMap((part) => part.frames);
    const reader = new BlockReader({ n: this.#storedBlock, at: frames[0]?.from ?? this.#reader.at });
    const held = frames.flatMap(({ keyframe, blocks }) =>
      blocks.map((block, i): StoredBlock => {
        const { from, at, until } = reader.read(block.content);
        return { n: block.n, from, at, until, content: block.content, keyframe: i === 0 ? keyframe : null };
      }),
    );
    const { projection } = await this.#parts.objectRetry.run(
      () => new StoredTail(this.#parts, stored).projection(header, stored.length, held),
      () => this.#stopped,
    );
    this.#projection = projection;
  }

  #tell(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
