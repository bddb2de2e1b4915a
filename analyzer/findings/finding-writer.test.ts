import { describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import type { FindingRow } from '#schemas/events/rows.js';
import { exampleFindingRow } from '#stores/events/examples.js';
import { StoreRetry } from '#stores/store-retry.js';
import { FindingWriter } from './finding-writer.js';

const rows = (count: number): FindingRow[] => Array.from({ length: count }, (_, i) => exampleFindingRow({ id: `f${i}` }));

/** A table that answers each insert as the test specifies. */
function table(answers: (insert: number, rows: readonly FindingRow[]) => Error | null = () => null) {
  const inserted = new Map<string, FindingRow>();
  let inserts = 0;
  const retry = new StoreRetry({ firstWait: 1, longestWait: 2, onOutage: () => undefined, onRecovery: () => undefined });
  const insert = async (_table: unknown, batch: readonly unknown[]): Promise<void> => {
    inserts += 1;
    await new Promise((resolve) => setImmediate(resolve));
    const error = answers(inserts, batch as readonly FindingRow[]);
    if (error !== null) throw error;
    for (const row of batch as readonly FindingRow[]) inserted.set(row.id, row);
  };
  return { inserted, retry, inserts: () => inserts, writer: new FindingWriter({ insert } as never, retry) };
}

describe('findings on their way to the store', () => {
  it('go together, and each is told when it is there', async () => {
    const { writer, inserted, inserts } = table();
    await Promise.all(rows(500).map(async (row) => writer.add(row).then(() => expect(inserted.has(row.id)).toBe(true))));
    expect(inserted.size).toBe(500);
    expect(inserts()).toBe(1);
  });

  it('wait for a store that does not answer', async () => {
    const { writer, inserted } = table((insert) => (insert < 4 ? new StenoError('STORE_UNAVAILABLE') : null));
    await Promise.all(rows(3).map((row) => writer.add(row)));
    expect(inserted.size).toBe(3);
  });

  it('that the store refuses do not keep others out', async () => {
    const { writer, inserted } = table((_, batch) => (batch.some(({ id }) => id === 'f1') ? new StenoError('BAD_REQUEST', 'no') : null));
    const outcomes = await Promise.allSettled(rows(3).map((row) => writer.add(row)));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect([...inserted.keys()]).toEqual(['f0', 'f2']);
    expect(writer.dropped).toBe(1);
  });

  it('are let go when the writer closes', async () => {
    const { writer, retry } = table(() => new StenoError('STORE_UNAVAILABLE'));
    const adding = writer.add(rows(1)[0]!);
    retry.close();
    await expect(adding).rejects.toMatchObject({ code: 'DRAINING' });
    await writer.close();
  });
});
