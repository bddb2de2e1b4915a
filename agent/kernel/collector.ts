/**
 * Reads the ring into the log, and the log into batches of rows for the uplink. Runs in a thread of its own, so that a
 * flood of events delays no keystroke.
 *
 *     ring ──every 10 ms──► log file ──as ingest takes them──► rows ──batch──► node service ──► uplink
 *       │                                (row-sender.ts)
 *       └── counters: lost ──► gaps, to the gateway while the session's channel is open, into the log after
 *
 * Order: the position of the ring, then messages, then records up to that position: so a session is always known before
 * its first event. Under flood (`FLOOD_RING` wait in the ring, or `FLOOD_BYTES` in the log) what one thread repeats
 * without a difference is written once, with its count and last time (folding.ts), and all is packed (packing.ts);
 * nothing is left out. Tested in collector.test.ts.
 */
import type { KernelGap } from '#schemas/kernel.js';
import { Digests } from './digests.js';
import { Folding } from './folding.js';
import { placeOf } from './log-cursor.js';
import { EventLog } from './log.js';
import type { BeginSession, CollectorConfig, FromCollector, ToCollector } from './messages.js';
import { pack } from './packing.js';
import { mapCounters, readCounters } from './programs.js';
import { KernelRecord, RECORD_BYTES, execFactsOf, fileStateOf, flags, kinds, pathOf } from './record.js';
import { RING_HEADER, Ring, isDiscarded, mapRing, stride } from './ring.js';
import { RowSender } from './row-sender.js';
import { offsetOf } from './rows.js';

const BUSY_MS = 10;
const IDLE_MS = 50;
/** One turn reads at most this much, so that messages are not kept waiting. */
const TURN_BYTES = 4 << 20;
const GAP_MS = 1_000;
const WATCH_MS = 50;
const READ_BYTES = 1 << 20;
/** Under flood so much is packed together: not more than is unpacked at once when rows are made. */
const PACK_BYTES = 256 << 10;
/** What 60,000 events a second fill between two looks. */
const FLOOD_RING = 128 << 10;
export const FLOOD_BYTES = 8 << 20;
const CLOSE_MS = 1_500;

export interface CollectorDeps {
  readonly post: (message: FromCollector, transfer?: readonly ArrayBuffer[]) => void;
  /** The messages that have arrived, oldest first. */
  readonly receive: () => ToCollector | undefined;
  /** ms since 1970. */
  readonly now: () => number;
  /** CLOCK_BOOTTIME in ns. */
  readonly boot: () => bigint;
}

interface Followed {
  readonly session: BeginSession;
  /** Losses that were reported. */
  lost: number;
  unfollowed: number;
  /** CLOCK_BOOTTIME in ns of the last loss reported, or null. */
  lastLost: number | null;
  /** Gaps found by this thread, not reported yet. */
  readonly own: { why: 'disk_full' | 'cut'; count: number; first: number; last: number }[];
  open: boolean;
  nextGapAt: number;
}

export class Collector {
  readonly #deps: CollectorDeps;
  readonly #ring: Ring;
  readonly #counters: BigInt64Array;
  readonly #log: EventLog;
  readonly #digests = new Digests();
  readonly #sessions = new Map<number, Followed>();
  readonly #folding = new Folding();
  readonly #rows: RowSender;
  #watchAt = 0;
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
    this.#rows = new RowSender({
      log: this.#log,
      digests: this.#digests,
      post: deps.post,
      now: deps.now,
      writing: () => this.#sessions.size > 0,
    });
    this.#log.onFile = () => {
      for (const { session } of this.#sessions.values()) this.#log.append(sessionRecord(session, true));
    };
  }

  start(): void {
    this.#turn();
  }

  #turn(): void {
    this.#poll();
    void this.#rows.send(this.#closing);
    if (this.#closing && ((this.#rows.drained && this.#ring.waiting === 0) || this.#deps.now() >= this.#closeBy)) return this.#close();
    const busy = this.#sessions.size > 0 || this.#closing;
    this.#timer = setTimeout(() => this.#turn(), busy ? BUSY_MS : IDLE_MS);
  }

  #poll(): void {
    const upTo = this.#ring.mark();
    for (let message = this.#deps.receive(); message !== undefined; message = this.#deps.receive()) this.#take(message);
    const flood = this.#ring.waiting > FLOOD_RING || this.#rows.backlog > FLOOD_BYTES;
    let read = 0;
    while (read < TURN_BYTES) {
      const length = this.#read(flood, upTo);
      if (length === 0) break;
      read += length;
    }
    // Counters tell of nothing new as often as this while nothing comes.
    const now = this.#deps.now();
    if (read === 0 && now < this.#watchAt) return;
    this.#watchAt = now + WATCH_MS;
    this.#watchLosses(false);
  }

  #take(message: ToCollector): void {
    switch (message.kind) {
      case 'begin': {
        const { session } = message;
        this.#sessions.set(session.number, { session, lost: 0, unfollowed: 0, lastLost: null, own: [], open: true, nextGapAt: 0 });
        this.#log.append(sessionRecord(session, false));
        return;
      }
      case 'settle':
        while (this.#read(this.#ring.waiting > FLOOD_RING) > 0);
        this.#watchLosses(true, message.number);
        return this.#deps.post({ kind: 'settled', ask: message.ask });
      case 'ended': {
        const followed = this.#sessions.get(message.number);
        if (followed !== undefined) followed.open = false;
        return;
      }
      case 'stored':
        return this.#rows.stored(message.batch, message.refused, message.payload);
      case 'close':
        // Time for what is on its way to ingest; the rest is sent at the next start.
        this.#closing = true;
        this.#closeBy = this.#deps.now() + this.#closeMs;
        return;
    }
  }

  #read(flood: boolean, upTo?: bigint): number {
    return this.#ring.read(flood ? PACK_BYTES : READ_BYTES, (records) => this.#keep(records, flood), upTo);
  }

  /** Writes records; what they are is looked at only as far as it cannot wait. */
  #keep(read: Uint8Array, flood: boolean): void {
    this.#rows.wrote();
    const records = flood ? this.#folding.fold(read) : read;
    const packed = flood ? pack(records) : null;
    const written = packed ?? records;
    if (!this.#log.append(written)) {
      // Counted as they came: each is one that is not there.
      return eachRecord(read, (bytes, at) => this.#note('disk_full', bytes, at));
    }
    const file = this.#log.current!;
    const start = this.#log.size(file) - written.length;
    eachRecord(records, (bytes, at, length) => {
      if (bytes[at + 12] !== kinds.exec) return;
      const offset = at - RING_HEADER;
      this.#wantDigest(bytes, at, length, packed === null ? placeOf(file, start + offset, 0) : placeOf(file, start, offset));
      if ((bytes.readUInt16LE(at + 14) & flags.cut) !== 0) this.#note('cut', bytes, at);
    });
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

  #wantDigest(bytes: Buffer, at: number, length: number, place: string): void {
    const record = new KernelRecord(bytes);
    if (!record.point(at, length)) return;
    const key = fileStateOf(record.text(3));
    if (key !== null && this.#digests.known(key) !== null) return;
    const facts = execFactsOf(record.text(3));
    if (facts === null) return;
    const age = (Number(this.#deps.boot()) - record.time) / 1e6;
    const found = this.#digests.of({
      pid: record.pid,
      path: pathOf(record.text(0)).text,
      inode: facts.inode,
      size: facts.size,
      at: this.#deps.now() - age,
      state: key === null ? null : { key, changed: facts.changed },
    });
    this.#rows.expect(place, found);
  }

  // ---- gaps -----------------------------------------------------------------------------------------------------

  /** `now`: whatever there is; else at most one gap a second of each session. */
  #watchLosses(now: boolean, only?: number): void {
    for (const [number, followed] of this.#sessions) {
      if (only !== undefined && only !== number) continue;
      const counters = readCounters(this.#counters, number);
      const time = this.#deps.now();
      const { lost, unfollowed } = counters;
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
    const { lost } = readCounters(this.#counters, number);
    if (lost > followed.lost || followed.own.length > 0) return;
    this.#sessions.delete(number);
    this.#deps.post({ kind: 'finished', number });
  }

  #gap(number: number, followed: Followed, why: KernelGap['why'], count: number, first: number, last: number): void {
    const gap: KernelGap = {
      state: 'gap',
      why,
      count,
      first_ms: offsetOf(followed.session, first),
      last_ms: offsetOf(followed.session, last),
    };
    if (followed.open) this.#deps.post({ kind: 'gap', number, gap });
    else this.#log.append(ownRecord(kinds.gap, number, last, count, gap));
  }

  #close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#watchLosses(true);
    this.#log.close();
    this.#deps.post({ kind: 'closed' });
  }
}

/** `at`: behind the ring's header. */
function eachRecord(records: Uint8Array, take: (bytes: Buffer, at: number, length: number) => void): void {
  const bytes = Buffer.from(records.buffer, records.byteOffset, records.length);
  for (let offset = 0; offset + RING_HEADER + RECORD_BYTES <= bytes.length;) {
    const header = bytes.readUInt32LE(offset);
    if (!isDiscarded(header)) take(bytes, offset + RING_HEADER, header & 0x3fff_ffff);
    offset += stride(header);
  }
}

/** At the head of each file: who is who in it. */
function sessionRecord(session: BeginSession, again: boolean): Buffer {
  const { session: id, boot_ns, offset_ms, error_ms, classes, mode, number } = session;
  return ownRecord(kinds.session, number, boot_ns, 0, {
    session: id,
    mode,
    classes,
    clock: { boot_ns, offset_ms, error_ms },
    ...(again ? { again: true } : {}),
  });
}

/** A record of the agent's own, in the shape of the kernel's. */
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
