import { expect, it } from 'vitest';
import type { EventStore } from '#stores/events/contract.js';
import { RowBatch } from './row-batch.js';
import { StoreRetry } from '#stores/store-retry.js';

it.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
  'rows added %i turns of the microtask queue after others became durable are inserted too',
  async (turns) => {
    const inserted: string[] = [];
    const store = {
      insert: async (_table: string, rows: readonly { readonly id: string }[]) => {
        inserted.push(...rows.map(({ id }) => id));
      },
    } as unknown as EventStore;
    const batch = new RowBatch(
      store,
      new StoreRetry({ firstWait: 1, longestWait: 1, onOutage: () => undefined, onRecovery: () => undefined }),
      1,
    );
    const rows = (id: string) => ({
      id,
      audit: [
        {
          id,
          at: 1,
          event: 'test.row',
          actor: '',
          target: '',
          outcome: 'success' as const,
          code: '',
          reason: '',
          source_address: '',
          session: '',
          node: '',
          login: '',
          data: '{}',
        },
      ],
    });
    await batch.add(rows('first'));
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    await batch.add(rows('second'));
    expect(inserted).toEqual(['first', 'second']);
  },
);
