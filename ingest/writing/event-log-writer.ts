/**
 * The event log of one session: turns its blocks and checkpoints into rows and objects, as session-writer.ts does for
 * recordings.
 *
 *     recovering ──► open ──block──► open        chain, cut, lines and positions checked; rows sent
 *                     │  ──checkpoint──► open    signature checked; the part goes to commit.ts, in the background
 *                     │  ──close──► closed       the same, and nothing follows
 *                     └──anything wrong──► refused (the caller tells the gateway and the audit)
 *
 * While an analyzer follows, whole lines of drafts also become rows, which are sent to the analyzer in advance and stored nowhere. The
 * block brings the same rows, and their positions ensure that each is taken once. Errors in a draft are reported for its block.
 *
 * Writes follow the order of commit.ts: rows, certificate and part, acknowledgement. Rows are derived from the lines and the
 * header alone (recordings/derive/logged-events.ts), so nothing waits for the recording's own row. Tested in
 * event-log-writer.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { SignedCheckpoint, StoredCheckpoint } from '#schemas/recording/checkpoint.js';
import { MAX_DRAFT_BYTES } from '#schemas/uplink.js';
import { EventPlaces } from '#schemas/recording/event-places.js';
import { eventPartKey, recordingPrefix } from '#schemas/recording/layout.js';
import { parseHeader, parseLine, streamOf } from '#schemas/recording/line.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import { certificateId } from '#schemas/recording/proof.js';
import { loggedEvents } from '#recordings/derive/logged-events.js';
import { BlockReader } from '#recordings/read/block-reader.js';
import type { ReadBlock, TimedLine } from '#recordings/read/block-reader.js';
import { checkpointFault } from '#recordings/read/checkpoint-signature.js';
import { FrameReader, listParts, openPart } from '#recordings/read/stored-recording.js';
import type { StoredPart } from '#recordings/read/stored-recording.js';
import { BlockChain, broken } from './block-chain.js';
import { commitParts } from './commit.js';
import { PartBuilder } from './part.js';
import { prefixOf } from './recovery.js';
import type { Opened, StreamWriter, WriterOwner, WriterParts } from './session-writer.js';

const MAX_STARTED_AT = 4_102_444_800_000;

interface StoredLog {
  readonly header: RecordingHeader;
  readonly checkpoint: StoredCheckpoint;
  readonly parts: number;
  readonly places: EventPlaces;
}

/**
 * The draft of the next block: the bytes so far, how many of them are lines already sent, the position of the last row sent, and the
 * header they belong to.
 */
interface Draft {
  readonly n: number;
  readonly content: Buffer;
  readonly told: number;
  readonly places: EventPlaces;
  readonly header: RecordingHeader | null;
}

export class EventLogWriter implements StreamWriter {
  readonly session: string;
  readonly #parts: WriterParts;
  readonly #owner: WriterOwner;
  readonly #chain: BlockChain;
  readonly #reader: BlockReader;
  readonly #places: EventPlaces;
  #header: RecordingHeader | null;
  #building: PartBuilder;
  #rows: Promise<unknown>[] = [];
  #commits: Promise<void> = Promise.resolve();
  #stored: number;
  #received: number;
  #finished = false;
  #closed = false;
  #stopped = false;
  #draft: Draft | null = null;

  private constructor(parts: WriterParts, session: string, owner: WriterOwner, found: StoredLog | null) {
    this.#parts = parts;
    this.session = session;
    this.#owner = owner;
    const last = found?.checkpoint ?? null;
    this.#chain = new BlockChain(session, 'events', last);
    this.#reader = new BlockReader(last === null ? undefined : { n: last.block, at: last.at }, undefined, 'events');
    this.#places = found?.places ?? new EventPlaces();
    this.#header = found?.header ?? null;
    this.#stored = this.#received = last?.block ?? 0;
    this.#building = new PartBuilder((found?.parts ?? 0) + 1, this.#stored + 1);
  }

  /** Recovers from the objects; waits while the store does not answer. */
  static async open(parts: WriterParts, session: string, owner: WriterOwner, stopped: () => boolean): Promise<Opened<EventLogWriter>> {
    const found = await parts.objectRetry.run(() => readStored(parts, session), stopped);
    if (found !== null && found.header.steno.gateway !== owner.gateway)
      throw new StenoError('UPLINK_UNAUTHENTICATED', `session ${session} is of another gateway`);
    if (found !== null && found.checkpoint.end !== 'open')
      return { kind: 'closed', blocks: found.checkpoint.block, sealed: true, startedAt: found.header.steno.started_at };
    return { kind: 'open', writer: new EventLogWriter(parts, session, owner, found) };
  }

  get stored(): number {
    return this.#stored;
  }

  get received(): number {
    return Math.max(this.#received, this.#stored);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get startedAt(): number {
    return this.#header?.steno.started_at ?? 0;
  }

  /** Throws UPLINK_CHAIN_BROKEN or UPLINK_MALFORMED. The caller awaits each call before the next. */
  block(n: number, headHex: string, content: Uint8Array): Promise<void> {
    const head = this.#chain.follow(n, headHex, content, { closed: this.#finished, unsigned: this.#building.bytes });
    if (head === null) return Promise.resolve();
    const read = this.#checked(() => this.#reader.read(content));
    if (read.header !== null) this.#begin(read.header);
    for (const { line } of read.lines)
      if (line.code !== 'e' || !this.#places.take(line.data)) throw broken(n, 'a line is not a row, or does not follow the row before it');
    const events = this.#checked(() => loggedEvents(this.#header!, read));
    if (this.#building.frames.length === 0) this.#building.startFrame(null, read.from);
    this.#building.add({ n, head, content });
    this.#chain.add(head, content);
    this.#draft = null;
    const rows = events.length === 0 ? Promise.all(this.#rows) : this.#parts.batch.add({ id: `${this.session} events ${n}`, events });
    this.#rows.push(rows.then(() => this.#receive(n)));
    this.#rows.at(-1)!.catch(() => undefined);
    return Promise.resolve();
  }

  /** Takes bytes of the next block, from byte `from` on. Bytes that do not continue the draft are dropped; the block brings them. */
  drafts(n: number, from: number, bytes: Uint8Array): void {
    const before: Draft | null =
      from === 0 ? { n, content: Buffer.alloc(0), told: 0, places: new EventPlaces(this.#places.last), header: this.#header } : this.#draft;
    if (before?.n !== n || n !== this.#chain.n + 1 || before.content.length !== from || from + bytes.length > MAX_DRAFT_BYTES) return;
    this.#draft = null;
    const content = Buffer.concat([before.content, bytes]);
    const end = content.lastIndexOf(0x0a) + 1;
    if (end <= before.told) {
      this.#draft = { ...before, content };
      return;
    }
    const lines = content.toString('utf8', before.told, end - 1).split('\n');
    try {
      const header = n === 1 && before.told === 0 ? this.#headerOf(lines.shift()!) : before.header;
      const rows = lines.map((text) => ({ line: parseLine(text, 'events'), at: 0 }));
      const isWhole = rows.every(({ line }) => line?.code === 'e' && before.places.take(line.data));
      if (header === null || !isWhole) return;
      this.#parts.onDraft?.(loggedEvents(header, { lines: rows as readonly TimedLine[] }));
      this.#draft = { ...before, content, told: end, header };
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
    }
  }

  /** From now on, bytes are dropped until a new draft begins. */
  forgetDraft(): void {
    this.#draft = null;
  }

  /** Throws UPLINK_CHAIN_BROKEN or UPLINK_SIGNATURE. `done` resolves when the part is stored. */
  checkpoint(
    part: number,
    checkpoint: SignedCheckpoint,
    closes: boolean,
  ): Promise<{ readonly bytes: number; readonly done: Promise<void> }> {
    const building = this.#building;
    if (part < building.part) return Promise.resolve({ bytes: 0, done: this.#commits });
    const says = (what: string): StenoError =>
      broken(checkpoint.block, `the checkpoint of part ${part} of the event log has another ${what}`);
    if (this.#header === null || this.#finished) throw broken(checkpoint.block, 'a checkpoint is not allowed here');
    const { session, gateway, counter } = checkpoint;
    if (part !== building.part) throw says('number');
    if (session !== this.session || gateway !== this.#owner.gateway || counter !== this.#header.steno.counter) throw says('session');
    if (closes !== (checkpoint.end !== 'open')) throw says('end');
    if (!this.#chain.fits(checkpoint, this.#reader.at)) throw says('head');
    if (building.bytes === 0 && !closes) throw says('end: it covers nothing');
    const fault = checkpointFault(checkpoint, this.#owner.certificate.blob, this.#parts.trusted());
    if (fault !== null) throw new StenoError('UPLINK_SIGNATURE', `event log of session ${this.session}: ${fault}`);
    this.#finished = closes;
    return Promise.resolve({ bytes: building.bytes, done: this.#commit(checkpoint) });
  }

  /** Waits for writes in progress; retries none. */
  async close(): Promise<void> {
    this.#stopped = true;
    await this.#commits;
  }

  #checked<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof StenoError)
        throw new StenoError('UPLINK_CHAIN_BROKEN', `event log of session ${this.session}: ${error.detail ?? ''}`);
      throw error;
    }
  }

  #headerOf(text: string): RecordingHeader {
    const header = parseHeader(text);
    this.#check(header);
    return header;
  }

  #begin(header: RecordingHeader): void {
    this.#check(header);
    this.#header = header;
  }

  #check(header: RecordingHeader): void {
    const { session, gateway, started_at: startedAt, counter } = header.steno;
    if (session !== this.session || gateway !== this.#owner.gateway || streamOf(header) !== 'events')
      throw broken(1, 'the header is of another session, gateway or stream');
    if (!Number.isSafeInteger(startedAt) || startedAt < 0 || startedAt > MAX_STARTED_AT) throw broken(1, 'the header has no start time');
    if (!Number.isSafeInteger(counter) || counter < 0) throw broken(1, 'the header has no counter');
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
    const rows = Promise.all(this.#rows);
    rows.catch(() => undefined);
    this.#rows = [];
    this.#building = new PartBuilder(building.part + 1, checkpoint.block + 1);
    const key = eventPartKey(recordingPrefix(this.session, this.startedAt), building.part);
    this.#commits = this.#commits
      .then(async () => {
        if (this.#stopped) return;
        await commitParts(this.#parts, this.#owner.certificate, [{ key, object, rows, row: null }], () => this.#stopped);
        this.#stored = checkpoint.block;
        this.#closed = checkpoint.end !== 'open';
        this.#chain.forget(building.firstBlock);
        if (!this.#stopped) this.#owner.onProgress();
      })
      .catch((error: unknown) => {
        this.#stopped = true;
        if (!(error instanceof StenoError && error.code === 'DRAINING')) this.#owner.onFailure(error);
      });
    return this.#commits;
  }
}

/** The state of a log in the object store: header, last checkpoint, and position of the last row. */
async function readStored(parts: WriterParts, session: string): Promise<StoredLog | null> {
  const { prefix } = await prefixOf(parts, session);
  const listed = await listParts(parts.objects, prefix, 'events');
  const last = listed.at(-1);
  if (last === undefined) return null;
  const newest = await readPart(parts, last);
  const places = new EventPlaces();
  let blocks = newest.blocks;
  // A part that only closes the log has no rows.
  for (let part = last.part; ; part--) {
    for (const { line } of blocks.flatMap(({ lines }) => lines)) if (line.code === 'e') places.take(line.data);
    if (places.last !== null || part === 1) break;
    ({ blocks } = await readPart(parts, listed[part - 2]!));
  }
  const header = (await readPart(parts, listed[0]!)).blocks[0]?.header ?? null;
  if (header === null) throw new StenoError('RECORDING_MALFORMED', `the event log of session ${session} has no header`);
  return { header, checkpoint: newest.checkpoint, parts: listed.length, places };
}

async function readPart(
  { objects, zstd }: WriterParts,
  { key }: StoredPart,
): Promise<{ readonly checkpoint: StoredCheckpoint; readonly blocks: readonly ReadBlock[] }> {
  const { frames, proof } = openPart(await objects.get(key));
  // Block boundaries do not depend on where the part began.
  const cut = new FrameReader(zstd, { n: proof.first_block - 1, at: 0 });
  const reader = new BlockReader({ n: proof.first_block - 1, at: 0 }, undefined, 'events');
  return {
    checkpoint: proof.checkpoint,
    blocks: frames.flatMap(({ bytes }) => [...cut.blocks(bytes)].map(({ content }) => reader.read(content))),
  };
}
