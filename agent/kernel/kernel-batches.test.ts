import { describe, expect, it } from 'vitest';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { exampleKernelRow } from '#schemas/testing/recordings.js';
import type { EventBatch } from '#runtime/uplink/source.js';
import { KernelBatches, MAX_PARKED_BYTES } from './kernel-batches.js';
import type { LostRows } from './collecting/messages.js';

const A = '01jd0000000000000000000000';
const B = '01jd0000000000000000000001';
const row = (session: string, index: number, kind: KernelRow[4] = 'file'): KernelRow =>
  exampleKernelRow(session, index, { offset: 10 * index, kind, path: '/x', name: 'open', outcome: 'success' });
const rowsIn = ({ payload }: EventBatch): KernelRow[] => JSON.parse(Buffer.from(payload).toString()) as KernelRow[];

interface Ended {
  readonly batch: string;
  readonly lost: readonly LostRows[];
}

/** Answers batches until none waits; returns the accepted rows in order of arrival. */
function ingest(batches: KernelBatches, refuses: (rows: readonly KernelRow[]) => string | null): { taken: KernelRow[]; ids: string[] } {
  const taken: KernelRow[] = [];
  const ids: string[] = [];
  for (let batch = batches.next(); batch !== null; batch = batches.next()) {
    ids.push(batch.id);
    const rows = rowsIn(batch);
    const code = refuses(rows);
    if (code === null) {
      taken.push(...rows);
      batches.acknowledged(batch.id);
    } else batches.refused(batch.id, code, 'as the test wanted');
  }
  return { taken, ids };
}

function opened() {
  const ended: Ended[] = [];
  const parked: string[] = [];
  const waits: { readonly ms: number; readonly act: () => void }[] = [];
  const batches = new KernelBatches({
    stored: (batch, lost) => ended.push({ batch, lost }),
    parked: (batch) => parked.push(batch),
    log: { warn: () => undefined },
    after: (ms, act) => waits.push({ ms, act }),
  });
  return { batches, ended, parked, waits };
}

const payload = (rows: readonly KernelRow[]): Uint8Array => Buffer.from(JSON.stringify(rows));
const bad =
  (index: number) =>
  (rows: readonly KernelRow[]): string | null =>
    rows.some((one) => one[2] === index) ? 'UPLINK_MALFORMED' : null;

describe('a batch that ingest refuses', () => {
  it('costs the one row that is bad, and is told as lost of its session', () => {
    const { batches, ended } = opened();
    const rows = Array.from({ length: 2_000 }, (_, i) => row(i % 3 === 0 ? A : B, i));
    batches.add({ id: '7.0-2000', table: 'kernel', payload: payload(rows) });
    const { taken, ids } = ingest(batches, bad(777));
    expect(new Set(taken.map((one) => one[2]))).toEqual(new Set(rows.map((one) => one[2]).filter((index) => index !== 777)));
    expect(taken).toHaveLength(1_999);
    expect(ended).toEqual([{ batch: '7.0-2000', lost: [{ session: A, count: 1, first_ms: 7_770, last_ms: 7_770, storable: true }] }]);
    expect(ids.length).toBeLessThan(30);
    expect(new Set(ids).size).toBe(ids.length);
    expect(batches.empty).toBe(true);
  });

  it('is cut in the same way when it is sent again, under names that fit the uplink', () => {
    const rows = Array.from({ length: 2_000 }, (_, i) => row(i % 2 === 0 ? A : B, i));
    const runs = [0, 1].map(() => {
      const { batches } = opened();
      batches.add({ id: '2147483646.100000-102000', table: 'kernel', payload: payload(rows) });
      return ingest(batches, bad(1_999)).ids;
    });
    expect(runs[0]).toEqual(runs[1]);
    expect(Math.max(...runs[0]!.map((id) => id.length))).toBeLessThanOrEqual(64);
  });

  it('because one session is on another node is cut by session, no further', () => {
    const { batches, ended } = opened();
    const rows = Array.from({ length: 100 }, (_, i) => row(i % 2 === 0 ? A : B, i));
    batches.add({ id: '1.0-100', table: 'kernel', payload: payload(rows) });
    const { taken, ids } = ingest(batches, (some) => (some.some(([session]) => session === B) ? 'UPLINK_UNAUTHENTICATED' : null));
    expect(taken).toHaveLength(50);
    expect(ids).toHaveLength(3);
    expect(ended).toMatchObject([{ lost: [{ session: B, count: 50, first_ms: 10, last_ms: 990, storable: false }] }]);
  });

  it('of nothing but bad rows ends, and so does a gap that is refused: none begets another', () => {
    const { batches, ended } = opened();
    batches.add({
      id: '1.0-8',
      table: 'kernel',
      payload: payload(Array.from({ length: 8 }, (_, i) => row(A, i, i === 3 ? 'gap' : 'file'))),
    });
    ingest(batches, () => 'UPLINK_MALFORMED');
    expect(ended).toMatchObject([{ lost: [{ session: A, count: 7 }] }]);
    batches.add({ id: '1.8-9', table: 'kernel', payload: payload([row(A, 9, 'gap')]) });
    ingest(batches, () => 'UPLINK_MALFORMED');
    expect(ended[1]).toEqual({ batch: '1.8-9', lost: [] });
  });

  it('is sent again after a lost connection, piece by piece', () => {
    const { batches, ended } = opened();
    batches.add({ id: '1.0-2', table: 'kernel', payload: payload([row(A, 0), row(B, 1)]) });
    batches.refused(batches.next()!.id, 'UPLINK_MALFORMED', '');
    const first = batches.next()!;
    batches.rewind(new Set());
    expect(batches.next()!.id).toBe(first.id);
    batches.acknowledged(first.id);
    batches.acknowledged(first.id);
    expect(ended).toEqual([]);
    batches.acknowledged(batches.next()!.id);
    expect(ended).toHaveLength(1);
  });
});

describe('a batch of a session that ingest does not know yet', () => {
  const batch = (id: string, rows: readonly KernelRow[]): EventBatch => ({ id, table: 'kernel', payload: payload(rows) });
  const early = (batches: KernelBatches, known: ReadonlySet<string>): KernelRow[] => {
    const taken: KernelRow[] = [];
    for (let next = batches.next(); next !== null; next = batches.next()) {
      const rows = rowsIn(next);
      if (rows.every(([session]) => known.has(session))) {
        taken.push(...rows);
        batches.acknowledged(next.id);
      } else batches.later(next.id, 'UPLINK_EARLY', rows.find(([session]) => !known.has(session))![0]);
    }
    return taken;
  };

  it('holds up neither the rows of others in it nor other batches, and is stored when the session is known', () => {
    const { batches, ended, parked, waits } = opened();
    for (let i = 0; i < 20; i++) batches.add(batch(`7.${i}`, [row(A, 2 * i), row(B, 2 * i + 1)]));
    const first = early(batches, new Set([B]));
    expect(first.map(([session]) => session)).toEqual(Array.from({ length: 20 }, () => B));
    expect(parked).toEqual(Array.from({ length: 20 }, (_, i) => `7.${i}`));
    expect(ended).toEqual([]);
    expect(batches.empty).toBe(false);
    for (let round = 0; round < 8; round++) {
      const now = waits.splice(0);
      expect(new Set(now.map(({ ms }) => ms))).toEqual(new Set([Math.min(60_000, 2_000 * 2 ** round)]));
      for (const { act } of now) act();
      expect(early(batches, new Set([B]))).toEqual([]);
    }
    for (const { act } of waits.splice(0)) act();
    expect(early(batches, new Set([A, B])).map((one) => one[2])).toEqual(Array.from({ length: 20 }, (_, i) => 2 * i));
    expect(ended).toEqual(Array.from({ length: 20 }, (_, i) => ({ batch: `7.${i}`, lost: [] })));
    // Its memory was given back exactly once.
    expect(parked).toHaveLength(20);
    expect(batches.empty).toBe(true);
  });

  it('is lost, and told, beyond what may be parked', () => {
    const { batches, ended, waits } = opened();
    const long = (index: number): KernelRow =>
      [...row(A, index).slice(0, 14), JSON.stringify({ pid: 1, note: 'x'.repeat(600_000) })] as unknown as KernelRow;
    const many = Math.ceil(MAX_PARKED_BYTES / 600_000) + 3;
    for (let i = 0; i < many; i++) batches.add(batch(`7.${i}`, [long(i)]));
    expect(early(batches, new Set())).toEqual([]);
    expect(waits.length).toBeLessThanOrEqual(MAX_PARKED_BYTES / 600_000);
    expect(ended).toHaveLength(many - waits.length);
    expect(ended[0]!.lost).toEqual([expect.objectContaining({ session: A, count: 1, storable: true })]);
    for (const { act } of waits) act();
    early(batches, new Set([A]));
    expect(ended).toHaveLength(many);
    expect(batches.empty).toBe(true);
  });

  it('waits as it is where a store does not answer', () => {
    const { batches, ended, parked } = opened();
    batches.add(batch('7.0', [row(A, 0), row(B, 1)]));
    const { id } = batches.next()!;
    batches.later(id, 'STORE_UNAVAILABLE', '');
    expect(batches.next()).toBeNull();
    batches.rewind(new Set());
    expect(batches.next()?.id).toBe('7.0');
    expect([ended, parked]).toEqual([[], []]);
  });
});
