/**
 * Journal and acknowledgements from the recorder's first byte to the freed spool, in one process and step by step: the
 * real spool, signed log, sender and recovery of the gateway, and the real uplink connection, writer and commit of ingest.
 * The simulated wire between them carries a frame only on command, and stores answer only when allowed.
 *
 * Any step may be the last of a process: the gateway dies before, within or after any file system call, ingest before or
 * after any write to a store, and the connection between any two frames. A power failure truncates files to their synced
 * length. Used by uplink-model.test.ts.
 */
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WebSocket } from 'ws';
import { StenoError, errorCatalogue, isErrorCode } from '#schemas/base/errors.js';
import { CHECKPOINT_NAMESPACE } from '#schemas/recording/checkpoint.js';
import { recordingPrefix } from '#schemas/recording/layout.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import { sessionId } from '#schemas/recording/line.js';
import type { SessionRow } from '#schemas/events/rows.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { decodeUplink, encodeUplink } from '#schemas/uplink.js';
import type { SessionSource } from '#runtime/uplink/source.js';
import { openZstd } from '#runtime/zstd.js';
import type { Zstd } from '#runtime/zstd.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectEntry, ObjectStore } from '#stores/objects/contract.js';
import { SignedLog } from '../../gateway/spool/signed-log.js';
import type { LogParts } from '../../gateway/spool/signed-log.js';
import { facts } from '../../gateway/testing/recorder.js';
import { faultyFiles } from '../../gateway/testing/faults.js';
import type { Fault } from '../../gateway/testing/faults.js';
import { diskFiles } from '../../gateway/spool/files.js';
import type { Files } from '../../gateway/spool/files.js';
import { recoverSpool } from '../../gateway/spool/recovery.js';
import { SessionFiles } from '../../gateway/spool/session-files.js';
import { Spool } from '../../gateway/spool/spool.js';
import { Backlog } from '../../ingest/writing/backlog.js';
import { KernelEvents } from '../../ingest/uplink/kernel-events.js';
import { RowBatch } from '../../ingest/writing/row-batch.js';
import { StoreRetry } from '#stores/store-retry.js';
import { openPart } from '#recordings/read/stored-recording.js';
import { RecordingAuthority, verifyFile } from '#recordings/testing/recorder.js';
import { quiet } from '../../ingest/testing/gateway.js';
import { UplinkConnection, WriterTable } from '../../ingest/uplink/connection.js';

const GATEWAY = 'gw-1';
const STARTED_AT = 1_763_800_000_000;
const authority = new RecordingAuthority();
const identity = authority.certify(GATEWAY);

/** A process dies at its `nth` step from now, counted from 1. */
export interface Death {
  readonly nth: number;
  readonly when: 'before' | 'midway' | 'after';
}

/** Counts the steps of one process and kills it at one of them. */
class Life {
  dead = false;
  steps = 0;
  #death: Death | null = null;

  plan(death: Death | null): void {
    this.#death = death === null ? null : { nth: this.steps + death.nth, when: death.when };
  }

  /** How this step ends if it is the last one. */
  step(): Death['when'] | null {
    if (this.dead) return 'before';
    this.steps += 1;
    if (this.#death?.nth !== this.steps) return null;
    this.dead = true;
    return this.#death.when;
  }
}

/** Objects and rows, which survive every process. */
class Stores {
  readonly objects = new Map<string, Uint8Array>();
  readonly sessions = new Map<string, SessionRow>();
}

/** Ingest's access to the stores: each write is a step of its life, and waits while the store does not answer. */
class StoreAccess {
  readonly #stores: Stores;
  readonly life = new Life();
  #stopped: Promise<void> | null = null;
  #go: () => void = () => undefined;

  constructor(stores: Stores) {
    this.#stores = stores;
  }

  stop(): void {
    this.#stopped ??= new Promise((resolve) => (this.#go = resolve));
  }

  go(): void {
    this.#stopped = null;
    this.#go();
  }

  async #write(act: () => void): Promise<void> {
    await this.#stopped;
    const last = this.life.step();
    if (last === null) return act();
    if (last !== 'before') act();
    throw new StenoError('STORE_UNAVAILABLE', 'ingest is dead');
  }

  readonly objects: ObjectStore = {
    put: (key, bytes) =>
      this.#write(() => {
        const known = this.#stores.objects.get(key);
        if (known !== undefined && Buffer.compare(known, bytes) !== 0) throw new StenoError('STORE_CONFLICT', key);
        this.#stores.objects.set(key, Buffer.from(bytes));
      }),
    get: async (key) => {
      const found = this.#stores.objects.get(key);
      if (found === undefined) throw new StenoError('STORE_NOT_FOUND', key);
      return found;
    },
    size: async (key) => (await this.objects.get(key)).length,
    list: (prefix) => inOrder(this.#stores.objects, prefix),
    delete: () => Promise.reject(new Error('nothing is deleted here')),
    close: () => Promise.resolve(),
  };

  readonly events = {
    session: async (id: string) => this.#stores.sessions.get(id),
    insert: (table: string, rows: readonly unknown[]) =>
      this.#write(() => {
        if (table !== 'sessions') return;
        for (const row of rows as readonly SessionRow[]) {
          if (row.version >= (this.#stores.sessions.get(row.session)?.version ?? 0)) this.#stores.sessions.set(row.session, row);
        }
      }),
  };
}

async function* inOrder(objects: ReadonlyMap<string, Uint8Array>, prefix: string): AsyncGenerator<ObjectEntry> {
  for (const key of [...objects.keys()].filter((one) => one.startsWith(prefix)).sort()) yield { key, size: objects.get(key)!.length };
}

/** Both ends of a connection; holds frames until they are let through. */
class Wire extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  readonly bufferedAmount = 0;
  readonly toIngest: Uint8Array[] = [];
  readonly toGateway: Uint8Array[] = [];

  send(frame: Uint8Array): void {
    if (this.readyState === this.OPEN) this.toGateway.push(Buffer.from(frame));
  }
  pause(): void {}
  resume(): void {}
  close(): void {
    this.cut();
  }
  terminate(): void {
    this.cut();
  }
  cut(): void {
    if (this.readyState !== this.OPEN) return;
    this.readyState = 3;
    this.toIngest.length = this.toGateway.length = 0;
    this.emit('close', 1006);
  }
}

interface Ingest {
  readonly access: StoreAccess;
  readonly retries: readonly StoreRetry[];
  readonly serve: (wire: Wire) => void;
}

interface Gateway {
  readonly life: Life;
  readonly spool: Spool;
  /** Null if the recovered session needs no log. */
  log: SignedLog | null;
}

type Flow = { state: 'opening' | 'sending' | 'waiting' };

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'steno-uplink-model-'));
  readonly session = sessionId(STARTED_AT, Buffer.alloc(10, 7));
  readonly #stores = new Stores();
  readonly #zstd: Zstd;
  readonly #flows = new Map<string, Flow>();
  readonly #synced = new Map<string, number>();
  readonly #descriptors = new Set<number>();
  gateway: Gateway | null = null;
  ingest: Ingest | null = null;
  #wire: Wire | null = null;
  #at = 0;
  /** Everything that `append` has confirmed. */
  shown = '';
  /** Synced length. */
  #durable = 0;
  #pieces = 0;
  /** Whether power was lost, so that unsynced bytes may be gone. */
  powerLost = false;
  /** A gateway that died before the header was written never showed any output. */
  empty = false;
  readonly faults: string[] = [];
  /** Number of frames that went over the wire, both ways. */
  frames = 0;

  private constructor(zstd: Zstd) {
    this.#zstd = zstd;
  }

  static async create(): Promise<World> {
    const world = new World(await openZstd());
    world.startGateway();
    await world.startIngest();
    return world;
  }

  dispose(): void {
    this.#buryGateway();
    this.#wire?.cut();
    this.ingest?.access.go();
    for (const retry of this.ingest?.retries ?? []) retry.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  // ---- gateway ---------------------------------------------------------------------------------------------------

  readonly #parts: LogParts = {
    sign: (text) => identity.key.sign(sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', createHash('sha512').update(text).digest())),
    wallClock: () => STARTED_AT + this.#at,
  };

  /** The first start begins the session; every later one recovers the state that the previous one left. `death`: of this start. */
  startGateway(death: Death | null = null): void {
    if (this.gateway !== null) return;
    const life = new Life();
    life.plan(death);
    const files = this.#files(life);
    const spool = new Spool({
      folder: this.folder,
      files,
      budget: 1 << 30,
      onQuarantine: (_log, code, detail) => this.faults.push(`quarantined: ${code} ${detail}`),
    });
    const gateway: Gateway = { life, spool, log: null };
    this.gateway = gateway;
    this.#alive(() => {
      if (this.#names().length > 0) return this.#recover(gateway);
      if (this.#began) return;
      this.#began = true;
      const log = new SignedLog(new SessionFiles(spool, this.session), GATEWAY, 1, this.#parts);
      const header: RecordingHeader = {
        version: 3,
        term: { cols: 80, rows: 24 },
        timestamp: Math.floor(STARTED_AT / 1000),
        steno: {
          ...facts({ tty: false, kind: 'exec' }),
          format: 1,
          session: this.session,
          gateway: GATEWAY,
          counter: 1,
          started_at: STARTED_AT,
        },
      };
      log.begin(header);
      this.#enlist(gateway, log);
    });
  }
  #began = false;

  #recover(gateway: Gateway): void {
    for (const found of recoverSpool(gateway.spool, this.#parts)) {
      if (found.kind === 'recovered') {
        this.#enlist(gateway, found.log);
        void gateway.spool.flushSoon(found.log.files);
      } else if (found.kind === 'empty') this.empty = true;
      else if (found.kind === 'damaged') this.faults.push(`damaged: ${found.reason}`);
      else if (!gateway.life.dead) this.faults.push('a whole disk refused');
    }
  }

  #enlist(gateway: Gateway, log: SignedLog): void {
    gateway.log = log;
    gateway.spool.enlist(log);
  }

  #files(life: Life): Files {
    const fault = (): Fault => {
      const last = life.step();
      return last === null ? null : { kind: last === 'before' ? 'fail' : last === 'midway' ? 'fail midway' : 'fail after', code: 'EIO' };
    };
    const inner = faultyFiles(fault, (call, path) => {
      if (call === 'sync') this.#synced.set(path, statSync(path, { throwIfNoEntry: false })?.size ?? 0);
    });
    return {
      ...inner,
      open: (path, how) => {
        const fd = inner.open(path, how);
        this.#descriptors.add(fd);
        return fd;
      },
      // A dead process closes nothing: another process may have the descriptor number by now.
      close: (fd) => {
        if (!life.dead && this.#descriptors.delete(fd)) diskFiles.close(fd);
      },
    };
  }

  /** Runs a step of the gateway; if the gateway dies in it, its memory is dropped. */
  #alive(act: (gateway: Gateway) => void): void {
    const { gateway } = this;
    if (gateway === null) return;
    try {
      act(gateway);
    } catch (error) {
      if (!gateway.life.dead) throw error;
    }
    if (gateway.life.dead) this.#buryGateway();
  }

  #buryGateway(): void {
    if (this.gateway === null) return;
    this.gateway.life.dead = true;
    this.gateway.spool.onWork = null;
    this.gateway = null;
    this.cutWire();
    for (const fd of this.#descriptors) closeSync(fd);
    this.#descriptors.clear();
  }

  killGateway(power = false): void {
    this.#buryGateway();
    if (!power) return;
    this.powerLost = true;
    for (const name of this.#names()) {
      const path = join(this.folder, name);
      const fd = openSync(path, 'r+');
      ftruncateSync(fd, Math.min(statSync(path).size, this.#synced.get(path) ?? 0));
      closeSync(fd);
    }
  }

  planGateway(death: Death): void {
    this.gateway?.life.plan(death);
  }

  /** Appends `bytes` of text without repetition. */
  append(bytes: number): void {
    const text = Array.from({ length: Math.ceil(bytes / 16) }, () => `${String(this.#pieces++).padStart(14, '0')}\r\n`).join('');
    this.#alive(({ log }) => {
      if (log === null || log.ended) return;
      log.text('o', Buffer.from(text), this.#at);
      this.shown += text;
    });
  }

  /** Bytes of lines, and how many of these bytes are in blocks. */
  get written(): { readonly bytes: number; readonly cut: number } {
    return { bytes: this.gateway?.log?.files.size ?? 0, cut: this.gateway?.log?.bytes ?? 0 };
  }

  pass(ms: number): void {
    this.#at += ms;
    this.#alive(({ log }) => log?.tick(this.#at));
  }

  settle(): void {
    this.#alive(({ log }) => log?.settle(this.#at));
  }

  end(): void {
    this.#alive(({ log }) => log?.end('complete', this.#at));
  }

  relieve(): void {
    this.#alive(({ spool }) => {
      for (const session of spool.sessions()) (session as SessionSource & { relieve(): void }).relieve();
    });
  }

  async sync(): Promise<void> {
    const { gateway } = this;
    const { length } = this.shown;
    await gateway?.spool.flush();
    // Wait for the urgent flush too, which a checkpoint starts by itself.
    if (gateway?.log != null) await gateway.spool.flushSoon(gateway.log.files);
    if (gateway?.life.dead === false && !this.powerLost) this.#durable = length;
    this.#alive(() => undefined);
  }

  // ---- ingest ----------------------------------------------------------------------------------------------------

  async startIngest(): Promise<void> {
    if (this.ingest !== null) return;
    const access = new StoreAccess(this.#stores);
    const retry = (): StoreRetry =>
      new StoreRetry({ firstWait: 0, longestWait: 0, onOutage: () => undefined, onRecovery: () => undefined });
    const eventRetry = retry();
    const objectRetry = retry();
    const { objects } = access;
    // The calls that ingest makes while it writes.
    const events = access.events as unknown as EventStore;
    const batch = new RowBatch(events, eventRetry, 0);
    const writers = new WriterTable();
    const parts = {
      objects,
      events,
      zstd: this.#zstd,
      batch,
      objectRetry,
      eventRetry,
      writers,
      log: quiet,
      clock: () => STARTED_AT + this.#at,
      onClosed: () => undefined,
      trusted: () => [authority.line],
      admits: () => [authority.line],
      kernel: new KernelEvents({ events, objects, logged: (session) => writers.hasEventLog(session), batch, clock: Date.now }),
      indexing: new Backlog('indexing', 'bytes', Date.now),
      storing: new Backlog('storing', 'bytes', Date.now),
      kernelBacklog: new Backlog('kernel', 'batches', Date.now),
    };
    this.ingest = {
      access,
      retries: [eventRetry, objectRetry],
      serve: (wire) => void new UplinkConnection(wire as unknown as WebSocket, { kind: 'gateway', name: GATEWAY }, parts),
    };
  }

  killIngest(): void {
    const { ingest } = this;
    if (ingest === null) return;
    ingest.access.life.dead = true;
    ingest.access.go();
    for (const retry of ingest.retries) retry.close();
    this.ingest = null;
    this.cutWire();
  }

  planIngest(death: Death): void {
    this.ingest?.access.life.plan(death);
  }

  stopStores(): void {
    this.ingest?.access.stop();
  }

  goStores(): void {
    this.ingest?.access.go();
  }

  // ---- the wire --------------------------------------------------------------------------------------------------

  get connected(): boolean {
    return this.#wire !== null;
  }

  connect(): void {
    if (this.gateway === null || this.ingest === null || this.#wire !== null) return;
    const wire = new Wire();
    this.#wire = wire;
    wire.on('close', () => {
      if (this.#wire === wire) this.cutWire();
    });
    this.ingest.serve(wire);
    wire.toIngest.push(encodeUplink('hello', { version: 1, name: GATEWAY, certificate: identity.certificate.toString('base64') }));
    this.#openAll();
  }

  #openAll(): void {
    for (const { session } of this.gateway?.spool.sessions() ?? []) {
      if (this.#flows.has(session)) continue;
      this.#flows.set(session, { state: 'opening' });
      this.#wire!.toIngest.push(encodeUplink('open', { session }));
    }
  }

  cutWire(): void {
    const wire = this.#wire;
    this.#wire = null;
    this.#flows.clear();
    wire?.cut();
  }

  /** Makes the gateway put frames on the wire. Returns their number. */
  send(frames: number): number {
    let sent = 0;
    this.#alive(({ spool, life }) => {
      if (this.#wire === null) return;
      for (const source of spool.sessions()) {
        const flow = this.#flows.get(source.session);
        while (flow?.state === 'sending' && sent < frames) {
          const frame = source.next();
          if (frame === null || life.dead) break;
          sent += 1;
          const { session } = source;
          if (frame.kind === 'block')
            this.#wire.toIngest.push(encodeUplink('block', { session, n: frame.n, head: frame.head }, frame.content));
          else {
            const last = frame.checkpoint.end !== 'open';
            this.#wire.toIngest.push(
              encodeUplink(last ? 'close' : 'checkpoint', { session, part: frame.part, checkpoint: frame.checkpoint }),
            );
            if (last) flow.state = 'waiting';
          }
        }
      }
    });
    return sent;
  }

  async toIngest(frames: number): Promise<number> {
    const wire = this.#wire;
    let moved = 0;
    for (; wire !== null && moved < frames && wire.toIngest.length > 0; moved++)
      wire.emit('message', Buffer.from(wire.toIngest.shift()!), true);
    this.frames += moved;
    await this.rest();
    if (this.ingest?.access.life.dead === true) this.killIngest();
    return moved;
  }

  toGateway(frames: number): number {
    let moved = 0;
    for (; moved < frames && (this.#wire?.toGateway.length ?? 0) > 0; moved++) {
      const frame = this.#wire!.toGateway.shift()!;
      this.#alive(({ spool }) => this.#take(spool, frame));
    }
    this.frames += moved;
    return moved;
  }

  /** Handles an answer as runtime/uplink/client.ts does. */
  #take(spool: Spool, bytes: Uint8Array): void {
    const frame = decodeUplink(bytes);
    if (frame.kind === 'hello') return;
    if (frame.kind === 'refuse') {
      const { code, detail, session } = frame.header;
      if (session !== undefined) this.#flows.delete(session);
      if (!isErrorCode(code) || !errorCatalogue[code].retryable) this.faults.push(`refused: ${code} ${detail}`);
      return;
    }
    const { session } = frame.header as { readonly session: string };
    const source = [...spool.sessions()].find((one) => one.session === session);
    const flow = this.#flows.get(session);
    if (source === undefined || flow === undefined) return;
    if (frame.kind === 'resume') {
      const { stored, closed } = frame.header;
      if (closed) {
        this.#flows.delete(session);
        source.acknowledged(stored, true);
      } else if (!source.seek(stored)) this.faults.push(`nothing at block ${stored}`);
      else flow.state = 'sending';
    } else if (frame.kind === 'ack' && 'session' in frame.header) {
      const { stored, closed } = frame.header;
      if (closed) this.#flows.delete(session);
      if (stored > 0 || closed) source.acknowledged(stored, closed);
    }
  }

  /** Runs all pending microtasks and callbacks. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve));
    this.#alive(() => undefined);
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  #names(): string[] {
    return readdirSync(this.folder).filter((name) => name.startsWith(this.session));
  }

  /** One round of all due work on an open connection. Returns the number of moved frames. */
  async round(): Promise<number> {
    this.send(Infinity);
    const moved = (await this.toIngest(Infinity)) + this.toGateway(Infinity);
    // After a retryable refusal, the client opens the session again.
    if (this.#wire !== null) this.#openAll();
    return moved;
  }

  /** Runs without failures until nothing happens any more. Throws if work is left that nobody does. */
  async quiet(): Promise<void> {
    this.gateway?.life.plan(null);
    this.ingest?.access.life.plan(null);
    this.goStores();
    this.startGateway();
    await this.startIngest();
    this.end();
    await this.sync();
    if (this.#wire === null) this.connect();
    for (let idle = 0; idle < 3 && this.gateway!.spool.unstored > 0;) {
      idle = (await this.round()) === 0 ? idle + 1 : 0;
      if (this.#wire === null) this.connect();
    }
    await this.sync();
  }

  get storedParts(): number {
    return [...this.#stores.objects.keys()].filter((key) => key.startsWith(recordingPrefix(this.session, STARTED_AT))).length;
  }

  /** Violations of the properties at the end; empty if all hold. */
  problems(): string[] {
    const problems = [...this.faults];
    const { unstored, bytes } = this.gateway!.spool;
    if (unstored > 0) problems.push(`${unstored} sessions are not stored to their end`);
    if (bytes !== 0) problems.push(`the spool counts ${bytes} bytes`);
    if (this.#names().length > 0) problems.push(`the spool holds ${this.#names().join(' ')}`);
    const least = this.powerLost ? this.#durable : this.shown.length;
    if (this.empty) return least === 0 ? problems : [...problems, 'what was shown is gone'];
    const keys = [...this.#stores.objects.keys()].filter((key) => key.startsWith(recordingPrefix(this.session, STARTED_AT))).sort();
    const objects = keys.map((key) => this.#stores.objects.get(key)!);
    if (objects.length === 0) return least === 0 && unstored === 0 ? problems : [...problems, 'nothing is stored'];
    const verdict = verifyFile(objects, [identity.certificate], [authority.line], this.#zstd);
    if (!verdict.ok) return [...problems, `what is stored does not verify: ${JSON.stringify(verdict)}`];
    if (verdict.checkpoint.end === 'open') problems.push('the recording has no end');
    const row = this.#stores.sessions.get(this.session);
    if (row?.state === 'live') problems.push('its row says that it is live');
    const text = textIn(objects, this.#zstd);
    // A line that was being written when the gateway died may exist, although it was never shown.
    if (!(text.startsWith(this.shown) || (text.length >= least && this.shown.startsWith(text))))
      problems.push(`of ${this.shown.length} characters shown, ${text.length} are stored, and not the same`);
    return problems;
  }
}

/** Terminal output of the stored objects. */
function textIn(objects: readonly Uint8Array[], zstd: Zstd): string {
  let text = '';
  for (const object of objects) {
    const lines = openPart(object)
      .frames.map(({ bytes }) => Buffer.from(zstd.decompress(bytes)).toString('utf8'))
      .join('');
    for (const line of lines.split('\n')) {
      if (!line.startsWith('[')) continue;
      const [, code, data] = JSON.parse(line) as [number, string, unknown];
      if (code === 'o') text += data as string;
    }
  }
  return text;
}
