/**
 * Batches of rows from the collecting thread, on their way to ingest.
 *
 *     waiting ──ack──► stored
 *        └──refused──► pieces, each waiting: rows of several sessions by session, else one half and the other
 *     │                  └── one row, or a session that ingest does not take from this node: lost, and reported
 *     └──early──► by session, each tried again by itself ──► parked ──2 s, 4 s, … 60 s──► waiting
 *
 * Rows are early if ingest does not know their session yet, which may last for hours while its gateway is cut off. Parked
 * rows block nothing: their memory is given back, and they no longer occupy the window of batches in flight. Beyond
 * `MAX_PARKED_BYTES`, rows of such sessions are lost and reported.
 *
 * A row that ingest refuses thus affects no other row. A batch counts as stored when all its pieces are; pieces are named
 * after how the batch was split, and a batch is split the same way after a restart. Tested in kernel-batches.test.ts.
 */
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { PIECE_MARK } from '#schemas/uplink.js';
import type { UplinkLog } from '#runtime/uplink/client.js';
import type { BatchSource, EventBatch } from '#runtime/uplink/source.js';
import type { LostRows } from './collecting/messages.js';

const PARK_FIRST_MS = 2_000;
const PARK_LONGEST_MS = 60_000;
export const MAX_PARKED_BYTES = 16 << 20;

interface Whole {
  /** Null once its memory was given back. */
  payload: Uint8Array | null;
  /** Pieces that are not stored yet; how many of them are parked. */
  pieces: number;
  parked: number;
  readonly lost: Map<string, { count: number; first_ms: number; last_ms: number; storable: boolean }>;
}

export interface KernelBatchesParts {
  /** All rows of a batch are stored, except those lost; its memory is given back, unless `parked` did that. */
  readonly stored: (batch: string, lost: readonly LostRows[], payload: Uint8Array | undefined) => void;
  /** The rest of a batch waits for its sessions to become known; its memory is given back. Called once per batch. */
  readonly parked: (batch: string, payload: Uint8Array) => void;
  readonly log: Pick<UplinkLog, 'warn'>;
  /** Calls back after this many ms; replaceable for tests with their own clock. */
  readonly after?: (ms: number, act: () => void) => void;
}

export class KernelBatches implements BatchSource {
  onWork: (() => void) | null = null;
  readonly #parts: KernelBatchesParts;
  readonly #waiting = new Map<string, EventBatch>();
  readonly #parked = new Map<string, EventBatch>();
  #parkedBytes = 0;
  /** How often each piece was early. */
  readonly #tries = new Map<string, number>();
  readonly #whole = new Map<string, Whole>();
  #handedOut = new Set<string>();

  constructor(parts: KernelBatchesParts) {
    this.#parts = parts;
  }

  /** Whether everything was acknowledged. */
  get empty(): boolean {
    return this.#waiting.size === 0 && this.#parked.size === 0;
  }

  add(batch: EventBatch): void {
    this.#waiting.set(batch.id, batch);
    this.#whole.set(batch.id, { payload: batch.payload, pieces: 1, parked: 0, lost: new Map() });
    this.onWork?.();
  }

  next(): EventBatch | null {
    for (const [id, batch] of this.#waiting) {
      if (this.#handedOut.has(id)) continue;
      this.#handedOut.add(id);
      return batch;
    }
    return null;
  }

  rewind(underWay: ReadonlySet<string>): void {
    this.#handedOut = new Set(underWay);
  }

  acknowledged(id: string): void {
    if (!this.#waiting.has(id)) return;
    this.#forget(id);
    this.#settle(id);
  }

  refused(id: string, code: string, detail: string): void {
    const batch = this.#waiting.get(id);
    if (batch === undefined) return;
    this.#forget(id);
    const rows = rowsOf(batch);
    const pieces = cut(rows, code);
    if (pieces.length === 0) this.#lose(this.#whole.get(wholeOf(id))!, rows, code, detail);
    this.#replace(id, pieces);
  }

  /** A batch may be accepted later. The rows are examined only if their sessions are what is missing. */
  later(id: string, code: string, detail: string): void {
    const batch = this.#waiting.get(id);
    if (batch === undefined || code !== 'UPLINK_EARLY') return;
    const rows = rowsOf(batch);
    const pieces = bySession(rows);
    if (pieces.length > 1) {
      this.#forget(id);
      this.#replace(id, pieces);
    } else if (this.#parkedBytes + batch.payload.length > MAX_PARKED_BYTES) {
      this.#forget(id);
      this.#lose(this.#whole.get(wholeOf(id))!, rows, code, detail);
      this.#settle(id);
    } else this.#park(id, batch);
  }

  #park(id: string, batch: EventBatch): void {
    const whole = this.#whole.get(wholeOf(id))!;
    const tries = this.#tries.get(id) ?? 0;
    this.#forget(id);
    this.#tries.set(id, tries + 1);
    // A batch that is still whole gives its memory back.
    const kept = batch.payload === whole.payload ? { ...batch, payload: Buffer.from(batch.payload) } : batch;
    this.#parked.set(id, kept);
    this.#parkedBytes += kept.payload.length;
    whole.parked += 1;
    this.#giveBack(wholeOf(id), whole);
    const after = this.#parts.after ?? ((ms, act) => void setTimeout(act, ms).unref());
    after(Math.min(PARK_LONGEST_MS, PARK_FIRST_MS * 2 ** tries), () => {
      if (!this.#parked.delete(id)) return;
      this.#parkedBytes -= kept.payload.length;
      whole.parked -= 1;
      this.#waiting.set(id, kept);
      this.onWork?.();
    });
  }

  #giveBack(name: string, whole: Whole): void {
    if (whole.payload === null || whole.parked < whole.pieces) return;
    const { payload } = whole;
    whole.payload = null;
    this.#parts.parked(name, payload);
  }

  /** Replaces a piece with the pieces it was split into. */
  #replace(id: string, pieces: readonly (readonly KernelRow[])[]): void {
    const mark = id.includes(PIECE_MARK) ? '.' : PIECE_MARK;
    pieces.forEach((piece, i) => {
      const name = `${id}${mark}${i.toString(36)}`;
      this.#waiting.set(name, { id: name, table: 'kernel', payload: Buffer.from(JSON.stringify(piece)) });
    });
    this.#whole.get(wholeOf(id))!.pieces += pieces.length;
    this.#settle(id);
    if (pieces.length > 0) this.onWork?.();
  }

  #lose(whole: Whole, rows: readonly KernelRow[], code: string, detail: string): void {
    const storable = code !== 'UPLINK_UNAUTHENTICATED' && code !== 'SESSION_UNKNOWN';
    this.#parts.log.warn(
      { session: rows[0]?.[0], rows: rows.length, kinds: [...new Set(rows.map((row) => row[4]))], code, detail },
      'ingest refused kernel events; they are lost',
    );
    for (const [session, , , offset, kind] of rows) {
      // A refused gap must not cause another.
      if (kind === 'gap') continue;
      const at = Number.isSafeInteger(offset) && offset >= 0 ? offset : 0;
      const known = whole.lost.get(session);
      whole.lost.set(
        session,
        known === undefined
          ? { count: 1, first_ms: at, last_ms: at, storable }
          : {
              count: known.count + 1,
              first_ms: Math.min(known.first_ms, at),
              last_ms: Math.max(known.last_ms, at),
              storable: known.storable && storable,
            },
      );
    }
  }

  #forget(id: string): void {
    this.#waiting.delete(id);
    this.#handedOut.delete(id);
    this.#tries.delete(id);
  }

  /** One piece fewer is in flight. */
  #settle(id: string): void {
    const name = wholeOf(id);
    const whole = this.#whole.get(name)!;
    whole.pieces -= 1;
    if (whole.pieces > 0) return this.#giveBack(name, whole);
    this.#whole.delete(name);
    this.#parts.stored(
      name,
      [...whole.lost].map(([session, lost]) => ({ session, ...lost })),
      whole.payload ?? undefined,
    );
  }
}

function wholeOf(id: string): string {
  const mark = id.indexOf(PIECE_MARK);
  return mark < 0 ? id : id.slice(0, mark);
}

function rowsOf({ payload }: EventBatch): KernelRow[] {
  return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('utf8')) as KernelRow[];
}

function bySession(rows: readonly KernelRow[]): (readonly KernelRow[])[] {
  const sessions = new Map<string, KernelRow[]>();
  for (const row of rows) {
    const own = sessions.get(row[0]);
    if (own === undefined) sessions.set(row[0], [row]);
    else own.push(row);
  }
  return [...sessions.values()];
}

/** The pieces of a refused batch; empty if it cannot be split further. */
function cut(rows: readonly KernelRow[], code: string): (readonly KernelRow[])[] {
  const sessions = bySession(rows);
  if (sessions.length > 1) return sessions;
  // A session that is unknown, or on another node, is so for all its rows.
  if (code === 'UPLINK_UNAUTHENTICATED' || code === 'SESSION_UNKNOWN' || rows.length <= 1) return [];
  return [rows.slice(0, rows.length >> 1), rows.slice(rows.length >> 1)];
}
