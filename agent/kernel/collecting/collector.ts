/**
 * Copies the ring into the log, and turns the log into batches of rows for the uplink. It has a thread of its own, so that a
 * flood of events delays no keystroke.
 *
 *     ring ──every 10 ms──► log file ──as ingest takes them──► rows ──batch──► node service ──► uplink
 *       │                                (row-sender.ts)
 *       └── counters: lost ──► gaps, to the gateway while the session's channel is open, into the log after
 *
 * Order: 1. the position of the ring, 2. messages, 3. records up to that position, 4. answers to requests for missing events
 * received before 1. A session is announced before its first process exists, so it is known before its first event: nothing
 * after position 1 may be read before step 2 runs again. Records of unknown sessions are held nevertheless
 * (held-records.ts). Under flood (`FLOOD_RING` bytes in the ring, or `FLOOD_BYTES` in the log), identical repetitions by one
 * thread are written once, with a count and the last time (folding.ts), and everything is compressed (packing.ts); nothing
 * is left out. Tested in collector.test.ts.
 */
import type { EventsWay, KernelGap, KernelGapReason } from '#schemas/kernel/orders.js';
import { machineId } from '#runtime/machine.js';
import { configurationOf } from '#schemas/kernel/configuration.js';
import { Contents } from './contents.js';
import type { ContentChange } from './contents.js';
import { Digests } from './digests.js';
import { changedPath } from '../rows/file-row.js';
import { Folding } from '../records/folding.js';
import { HeldRecords } from '../records/held-records.js';
import { placeOf } from '../log/log-cursor.js';
import { EventLog } from '../log/log.js';
import type { BeginSession, CollectorConfig, FromCollector, LostRows, ToCollector } from './messages.js';
import { pack } from '../records/packing.js';
import { mapCounters, readCounters } from '../probes/programs.js';
import { RecordCount } from '../records/record-count.js';
import { KernelRecord, RECORD_BYTES, execFactsOf, fileStateOf, flags, kinds, pathOf } from '../records/record.js';
import { RING_HEADER, Ring, isDiscarded, mapRing, stride } from '../probes/ring.js';
import { RowSender } from './row-sender.js';
import type { LateDigest } from './row-sender.js';
import { hostPathOf } from '../rows/container-place.js';
import { offsetOf } from '../rows/rows.js';

const BUSY_MS = 10;
const IDLE_MS = 50;
/** Maximum bytes read per turn, so that messages are not delayed. */
const TURN_BYTES = 4 << 20;
const GAP_MS = 1_000;
const WATCH_MS = 50;
const READ_BYTES = 1 << 20;
/** Bytes packed together under flood: no more than is unpacked at once when rows are made. */
const PACK_BYTES = 256 << 10;
/** The amount that 60,000 events a second produce between two reads. */
const FLOOD_RING = 128 << 10;
export const FLOOD_BYTES = 8 << 20;
const CLOSE_MS = 1_500;
/** Interval of the thread's sign of life; read positions of one session are reported at most this often. */
const ALIVE_MS = 1_000;
const PROGRESS_MS = 5_000;
/** Ended sessions remembered because a record may still arrive. */
const OVER = 256;
/** Session number in the log for records of ended sessions; real sessions start at 1. */
const NO_NUMBER = 0;

export interface CollectorDeps {
  readonly post: (message: FromCollector, transfer?: readonly ArrayBuffer[]) => void;
  /** The next message that has arrived, oldest first. */
  readonly receive: () => ToCollector | undefined;
  /** ms since 1970. */
  readonly now: () => number;
  /** CLOCK_BOOTTIME in ns. */
  readonly boot: () => bigint;
}

interface Followed {
  readonly session: BeginSession;
  /** Losses reported so far. */
  lost: number;
  unfollowed: number;
  /** CLOCK_BOOTTIME in ns of the last loss reported, or null. */
  lastLost: number | null;
  /** Gaps found by this thread and not reported yet. */
  readonly own: { why: 'disk_full' | 'cut' | 'unknown_session' | 'hole'; count: number; first: number; last: number }[];
  /** Whether some file of the log has recorded when the session began. */
  said: boolean;
  open: boolean;
  nextGapAt: number;
  readonly records: RecordCount;
  /** CLOCK_BOOTTIME in ns: every hole before this time has been reported. */
  wholeUntil: number;
  /** Whether events arrived since the read position was last reported. */
  fresh: boolean;
  nextProgressAt: number;
}

export class Collector {
  readonly #deps: CollectorDeps;
  readonly #ring: Ring;
  readonly #counters: BigInt64Array;
  readonly #log: EventLog;
  readonly #digests = new Digests();
  readonly #contents: Contents;
  readonly #sessions = new Map<number, Followed>();
  readonly #over = new Map<number, Followed>();
  /** Session numbers that the current file has named. */
  readonly #named = new Set<number>();
  /** Session numbers of the records being written. */
  #writing: ReadonlySet<number> = new Set();
  readonly #held = new HeldRecords();
  /** Requests to be answered after the next read, in order. */
  #asked: Extract<ToCollector, { readonly kind: 'settle' | 'ended' }>[] = [];
  readonly #folding = new Folding();
  readonly #rows: RowSender;
  /** Counts of records for sessions not announced yet. */
  readonly #early = new Map<number, number>();
  #watchAt = 0;
  #aliveAt = 0;
  #timer: NodeJS.Timeout | null = null;
  #closing = false;
  #closeBy = 0;
  readonly #closeMs: number;

  constructor(config: CollectorConfig, deps: CollectorDeps) {
    this.#deps = deps;
    this.#closeMs = config.closeMs ?? CLOSE_MS;
    this.#ring = new Ring(mapRing(config.ring));
    this.#counters = mapCounters(config.totalsFd);
    this.#log = new EventLog(config.folder, config.budget);
    this.#contents = new Contents({ now: deps.now, emit: (number, change) => this.#content(number, change) });
    this.#rows = new RowSender({
      log: this.#log,
      digests: this.#digests,
      post: deps.post,
      now: deps.now,
      writing: () => this.#sessions.size > 0,
      late: (digest) => this.#late(digest),
      over: ({ session, way }, offset) => void this.#write(session, way, kinds.end, offset, 0, {}),
    });
    this.#log.onFile = () => {
      this.#named.clear();
      return [...this.#sessions.keys(), ...this.#writing].every((number) => this.#name(number));
    };
  }

  start(): void {
    this.#turn();
  }

  #turn(): void {
    this.#poll();
    this.#contents.turn();
    void this.#rows.send(this.#closing);
    if (this.#closing && ((this.#rows.drained && this.#ring.waiting === 0) || this.#deps.now() >= this.#closeBy)) return this.#close();
    const busy = this.#sessions.size > 0 || this.#closing;
    this.#timer = setTimeout(() => this.#turn(), busy ? BUSY_MS : IDLE_MS);
  }

  #poll(): void {
    const boot = Number(this.#deps.boot());
    let read = this.#look();
    // Requests that arrived in the meantime need not wait for the next turn.
    if (this.#asked.length > 0) read += this.#look();
    // While no events arrive, counters are polled only this often.
    const now = this.#deps.now();
    if (now >= this.#aliveAt || now < this.#aliveAt - ALIVE_MS) this.#alive(now, boot);
    if (read === 0 && now < this.#watchAt) return;
    this.#watchAt = now + WATCH_MS;
    this.#held.expire(now);
    this.#watchLosses(false);
  }

  /** `boot`: time before the last read began; records still in the ring are not covered. */
  #alive(now: number, boot: number): void {
    this.#aliveAt = now + ALIVE_MS;
    const sessions: number[] = [];
    if (this.#ring.waiting === 0) {
      for (const [number, followed] of this.#sessions) {
        if (!followed.open || !followed.fresh || now < followed.nextProgressAt) continue;
        followed.fresh = false;
        followed.nextProgressAt = now + PROGRESS_MS;
        sessions.push(number);
      }
    }
    if (this.#sessions.size > 0) this.#deps.post({ kind: 'alive', sessions, boot_ns: boot });
  }

  #look(): number {
    const upTo = this.#ring.mark();
    const asked = this.#asked;
    this.#asked = [];
    for (let message = this.#deps.receive(); message !== undefined; message = this.#deps.receive()) this.#take(message);
    const flood = this.#ring.waiting > FLOOD_RING || this.#rows.backlog > FLOOD_BYTES;
    let read = 0;
    while (read < TURN_BYTES || asked.length > 0) {
      const length = this.#read(flood, upTo);
      if (length === 0) break;
      read += length;
    }
    for (const message of asked) {
      if (message.kind === 'ended') this.#end(message.number);
      else {
        this.#watchLosses(true, message.number);
        this.#deps.post({ kind: 'settled', ask: message.ask });
      }
    }
    return read;
  }

  #take(message: ToCollector): void {
    switch (message.kind) {
      case 'begin': {
        const { session } = message;
        const { number } = session;
        this.#over.delete(number);
        this.#sessions.set(number, {
          session,
          lost: 0,
          unfollowed: 0,
          lastLost: null,
          own: [],
          open: true,
          said: false,
          nextGapAt: 0,
          records: new RecordCount(),
          wholeUntil: session.boot_ns,
          fresh: false,
          nextProgressAt: 0,
        });
        this.#count(number, this.#early.get(number) ?? 0);
        this.#early.delete(number);
        if (session.classes.includes('file')) void this.#contents.scan();
        // If the disk refuses, this is written before the first record that it accepts.
        this.#name(number);
        const { records, lost } = this.#held.take(number);
        if (lost !== null) this.#sessions.get(number)!.own.push({ why: 'unknown_session', ...lost });
        if (records !== null) this.#keep(records, false);
        return;
      }
      case 'settle':
        this.#asked.push(message);
        return;
      case 'ended':
        // Answer earlier requests first.
        if (this.#asked.some(({ number }) => number === message.number)) this.#asked.push(message);
        else this.#end(message.number);
        return;
      case 'stored':
        for (const lost of message.lost) this.#refused(lost);
        return this.#rows.stored(message.batch, message.lost.length > 0, message.payload);
      case 'parked':
        return this.#rows.parked(message.batch, message.payload);
      case 'close':
        // Allows time for batches in flight; the rest is sent after the next start.
        this.#closing = true;
        this.#closeBy = this.#deps.now() + this.#closeMs;
        return;
    }
  }

  #end(number: number): void {
    const followed = this.#sessions.get(number);
    if (followed !== undefined) followed.open = false;
  }

  #read(flood: boolean, upTo: bigint): number {
    return this.#ring.read(
      flood ? PACK_BYTES : READ_BYTES,
      (records) => {
        this.#countAll(records);
        this.#keep(records, flood);
      },
      upTo,
    );
  }

  #countAll(records: Uint8Array): void {
    let number = -1;
    let count = 0;
    eachRecord(records, (bytes, at) => {
      const next = bytes.readUInt32LE(at + 8);
      if (next !== number) {
        this.#count(number, count);
        number = next;
        count = 0;
      }
      count += 1;
    });
    this.#count(number, count);
  }

  #count(number: number, count: number): void {
    if (count === 0) return;
    const followed = this.#sessions.get(number);
    if (followed !== undefined) {
      followed.records.came(count);
      followed.fresh = true;
    } else if (!this.#over.has(number) && (this.#early.has(number) || this.#early.size < OVER))
      this.#early.set(number, (this.#early.get(number) ?? 0) + count);
  }

  /** Writes records; inspects them only as far as cannot be postponed. */
  #keep(all: Uint8Array, flood: boolean): void {
    const read = this.#known(all);
    if (read.length === 0) return;
    this.#rows.wrote();
    const records = flood ? this.#folding.fold(read) : read;
    const packed = flood ? pack(records) : null;
    const written = packed ?? records;
    if (![...this.#writing].every((number) => this.#name(number)) || !this.#log.append(written)) {
      // Count the records one by one: each of them is missing.
      return eachRecord(read, (bytes, at) => this.#note('disk_full', bytes, at));
    }
    const file = this.#log.current!;
    const start = this.#log.size(file) - written.length;
    eachRecord(records, (bytes, at, length) => {
      if (bytes[at + 12] === kinds.file) this.#wantContent(bytes, at, length);
      if (bytes[at + 12] !== kinds.exec) return;
      const offset = at - RING_HEADER;
      this.#wantDigest(bytes, at, length, packed === null ? placeOf(file, start + offset, 0) : placeOf(file, start, offset));
      if ((bytes.readUInt16LE(at + 14) & flags.cut) !== 0) this.#note('cut', bytes, at);
    });
  }

  /** Returns the records of known sessions, whose numbers become `#writing`; the others are held. */
  #known(all: Uint8Array): Uint8Array {
    const numbers = new Set<number>();
    let last = -1;
    let strangers = false;
    eachRecord(all, (bytes, at) => {
      const number = bytes.readUInt32LE(at + 8);
      if (number === last) return;
      last = number;
      if (this.#sessions.has(number) || this.#over.has(number)) numbers.add(number);
      else strangers = true;
    });
    this.#writing = numbers;
    if (!strangers) return all;
    const now = this.#deps.now();
    const kept: Uint8Array[] = [];
    eachRecord(all, (bytes, at, length) => {
      const record = bytes.subarray(at - RING_HEADER, at - RING_HEADER + stride(length));
      const number = bytes.readUInt32LE(at + 8);
      if (numbers.has(number)) kept.push(record);
      else this.#held.add(number, record, now);
    });
    return Buffer.concat(kept);
  }

  /** Writes the session's identity into the current file; false if the disk refuses. */
  #name(number: number): boolean {
    // A new file writes the identities itself.
    if (!this.#log.ready()) return false;
    const followed = this.#sessions.get(number) ?? this.#over.get(number);
    if (followed === undefined || this.#named.has(number)) return true;
    if (!this.#log.append(sessionRecord(followed.session, followed.said))) return false;
    followed.said = true;
    this.#named.add(number);
    return true;
  }

  /** Ingest refused these rows: reports a gap, to the gateway while its channel is open, otherwise in the log. */
  #refused({ session: id, count, first_ms, last_ms, storable }: LostRows): void {
    const gap: KernelGap = { state: 'gap', why: 'refused', count, first_ms, last_ms };
    let way: EventsWay | null = null;
    for (const [number, { session, open }] of [...this.#sessions, ...this.#over]) {
      if (session.session !== id) continue;
      if (open) return this.#deps.post({ kind: 'gap', number, gap });
      ({ way } = session);
    }
    if (storable) this.#write(id, way, kinds.gap, last_ms, count, gap);
  }

  #late({ session, way, offset, ...facts }: LateDigest): boolean {
    return this.#write(session, way, kinds.digest, offset, 0, facts);
  }

  /** Writes a record of the agent itself, whose session may no longer be known; `offset`: ms of session time. False if the disk refuses. */
  #write(session: string, way: EventsWay | null, kind: number, offset: number, a: number, facts: object): boolean {
    const clock = { session, way, number: NO_NUMBER, boot_ns: 0, offset_ms: 0, error_ms: 0, classes: [], mode: 'best_effort' } as const;
    // Append both together, so that they are in one file.
    const isWritten = this.#log.append(Buffer.concat([sessionRecord(clock, true), ownRecord(kind, NO_NUMBER, offset * 1e6, a, facts)]));
    if (isWritten) this.#rows.wrote();
    return isWritten;
  }

  #note(why: 'disk_full' | 'cut', bytes: Buffer, at: number): void {
    const followed = this.#sessions.get(bytes.readUInt32LE(at + 8));
    if (followed === undefined) return;
    const time = bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
    const known = followed.own.find((gap) => gap.why === why);
    if (known === undefined) followed.own.push({ why, count: 1, first: time, last: time });
    else {
      known.count += 1;
      known.last = time;
    }
  }

  #wantContent(bytes: Buffer, at: number, length: number): void {
    const record = new KernelRecord(bytes);
    if (!record.point(at, length) || !this.#sessions.has(record.session)) return;
    const path = changedPath(record);
    if (path === null || configurationOf(path) === null) return;
    const age = (Number(this.#deps.boot()) - record.time) / 1e6;
    this.#contents.changed(record.session, record.pid, path, this.#deps.now() - age);
  }

  #content(number: number, { pid, path, content, before }: ContentChange): void {
    const followed = this.#sessions.get(number);
    if (followed === undefined || !this.#name(number)) return;
    const facts = { pid, path, ...content, ...(before === null ? {} : { before: before.sha256, before_ms: Math.round(before.at) }) };
    if (this.#log.append(ownRecord(kinds.content, number, Number(this.#deps.boot()), 0, facts))) this.#rows.wrote();
  }

  #wantDigest(bytes: Buffer, at: number, length: number, place: string): void {
    const record = new KernelRecord(bytes);
    if (!record.point(at, length)) return;
    const key = fileStateOf(record.text(3));
    if (key !== null && this.#digests.known(key) !== null) return;
    const facts = execFactsOf(record.text(3));
    if (facts === null) return;
    const age = (Number(this.#deps.boot()) - record.time) / 1e6;
    const path = pathOf(record.text(0)).text;
    const container = this.#sessions.get(record.session)?.session.container;
    const found = this.#digests.of({
      pid: record.pid,
      // On the machine, another file has that name.
      path: container === undefined ? path : (hostPathOf(container, path) ?? ''),
      inode: facts.inode,
      size: facts.size,
      at: this.#deps.now() - age,
      state: key === null ? null : { key, changed: facts.changed },
    });
    this.#rows.expect(place, found);
  }

  // ---- gaps -----------------------------------------------------------------------------------------------------

  /** `now`: reports everything; otherwise at most one gap per second and session. */
  #watchLosses(now: boolean, only?: number): void {
    for (const [number, followed] of this.#sessions) {
      if (only !== undefined && only !== number) continue;
      const counters = readCounters(this.#counters, number);
      const time = this.#deps.now();
      const { lost, unfollowed } = counters;
      const hole = followed.records.check(counters, time, this.#ring.waiting === 0);
      if (hole > 0) this.#hole(followed, hole);
      const ring = lost - unfollowed - (followed.lost - followed.unfollowed);
      const waiting = ring > 0 || unfollowed > followed.unfollowed || followed.own.length > 0;
      if (waiting && (now || time >= followed.nextGapAt)) {
        followed.nextGapAt = time + GAP_MS;
        const first = followed.lastLost ?? Number(counters.firstLost);
        const last = Number(counters.lastLost);
        if (ring > 0) this.#gap(number, followed, 'ring_full', ring, first, last);
        if (unfollowed > followed.unfollowed) this.#gap(number, followed, 'not_followed', unfollowed - followed.unfollowed, first, last);
        for (const gap of followed.own.splice(0)) this.#gap(number, followed, gap.why, gap.count, gap.first, gap.last);
        if (lost > followed.lost) followed.lastLost = last;
        followed.lost = lost;
        followed.unfollowed = unfollowed;
      }
      if (!followed.open && counters.processes === 0 && this.#ring.waiting === 0) {
        this.#watchLossesOnce(number, followed);
      }
    }
  }

  #watchLossesOnce(number: number, followed: Followed): void {
    const counters = readCounters(this.#counters, number);
    if (counters.lost > followed.lost || followed.own.length > 0) return;
    if (this.#contents.pending(number, true)) return;
    const hole = followed.records.last(counters);
    if (hole === null) return;
    if (hole > 0) return this.#hole(followed, hole);
    this.#contents.forget(number);
    this.#sessions.delete(number);
    this.#over.set(number, followed);
    if (this.#over.size > OVER) this.#over.delete(this.#over.keys().next().value!);
    if (followed.session.way !== null && this.#name(number)) {
      if (this.#log.append(ownRecord(kinds.end, number, Number(this.#deps.boot()), 0, {}))) this.#rows.wrote();
    }
    this.#deps.post({ kind: 'finished', number });
  }

  #hole(followed: Followed, count: number): void {
    const now = Number(this.#deps.boot());
    followed.own.push({ why: 'hole', count, first: followed.wholeUntil, last: now });
    followed.wholeUntil = now;
  }

  #gap(number: number, followed: Followed, why: KernelGapReason, count: number, first: number, last: number): void {
    const gap: KernelGap = {
      state: 'gap',
      why,
      count,
      first_ms: offsetOf(followed.session, first),
      last_ms: offsetOf(followed.session, last),
    };
    if (followed.open) this.#deps.post({ kind: 'gap', number, gap });
    else if (this.#name(number)) this.#log.append(ownRecord(kinds.gap, number, last, count, gap));
  }

  #close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#watchLosses(true);
    this.#log.close();
    this.#deps.post({ kind: 'closed' });
  }
}

/** `at`: offset after the ring's header. */
function eachRecord(records: Uint8Array, take: (bytes: Buffer, at: number, length: number) => void): void {
  const bytes = Buffer.from(records.buffer, records.byteOffset, records.length);
  for (let offset = 0; offset + RING_HEADER + RECORD_BYTES <= bytes.length;) {
    const header = bytes.readUInt32LE(offset);
    if (!isDiscarded(header)) take(bytes, offset + RING_HEADER, header & 0x3fff_ffff);
    offset += stride(header);
  }
}

/** At the start of each file: the identity of a session number. */
function sessionRecord(session: BeginSession, again: boolean): Buffer {
  const { session: id, boot_ns, offset_ms, error_ms, classes, mode, number, way, container } = session;
  return ownRecord(kinds.session, number, boot_ns, 0, {
    session: id,
    mode,
    classes,
    clock: { boot_ns, offset_ms, error_ms },
    machine: machineId(),
    ...(way === null ? {} : { way }),
    ...(container === undefined ? {} : { container }),
    ...(again ? { again: true } : {}),
  });
}

/** A record of the agent itself, in the kernel's layout. */
function ownRecord(kind: number, session: number, time: number, a: number, facts: object): Buffer {
  const text = Buffer.from(JSON.stringify(facts));
  const length = RECORD_BYTES + text.length;
  const bytes = Buffer.alloc((RING_HEADER + length + 7) & ~7);
  bytes.writeUInt32LE(length, 0);
  bytes.writeBigUInt64LE(BigInt(Math.max(0, Math.round(time))), RING_HEADER);
  bytes.writeUInt32LE(session, RING_HEADER + 8);
  bytes[RING_HEADER + 12] = kind;
  bytes.writeBigUInt64LE(BigInt(a), RING_HEADER + 40);
  bytes.writeUInt32LE(text.length, RING_HEADER + 64);
  text.copy(bytes, RING_HEADER + RECORD_BYTES);
  return bytes;
}
