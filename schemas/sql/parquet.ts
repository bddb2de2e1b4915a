/**
 * Answers of queries as Parquet, with types: integers as INT64 (text if one is beyond 2^53), moments as TIMESTAMP in ms of UTC, lists and
 * maps as JSON text, everything else as text. Compressed with Snappy. The answer is held in memory, at most the 100,000 rows of a query.
 * Loaded only when requested. Tested in cli/verbs/sql/parquet.test.ts.
 */
import { parquetWriteBuffer } from 'hyparquet-writer';
import type { BasicType, ColumnSource } from 'hyparquet-writer';
import type { SqlAnswer } from './canonical.js';

export function parquetOf({ columns, rows }: SqlAnswer): Uint8Array {
  const names = new Map<string, number>();
  const columnData = columns.map(({ name, type }, i): ColumnSource => {
    // Parquet requires distinct names, but an answer may have two columns of the same name.
    const seen = names.get(name) ?? 0;
    names.set(name, seen + 1);
    return {
      name: seen === 0 ? name : `${name}_${seen + 1}`,
      ...typed(
        type,
        rows.map((row) => row[i] ?? null),
      ),
    };
  });
  return new Uint8Array(parquetWriteBuffer({ columnData, createdBy: 'steno' }));
}

function typed(engine: string, values: readonly unknown[]): { readonly type: BasicType; readonly data: unknown[] } {
  const bare = engine.replace(/^LowCardinality\((.*)\)$/, '$1').replace(/^Nullable\((.*)\)$/, '$1');
  const each = (type: BasicType, convert: (value: unknown) => unknown): { readonly type: BasicType; readonly data: unknown[] } => ({
    type,
    data: values.map((value) => (value === null || value === undefined ? null : convert(value))),
  });
  if (/^U?Int\d+$/.test(bare)) {
    if (values.every((value) => value === null || (typeof value === 'number' && Number.isSafeInteger(value))))
      return each('INT64', (value) => BigInt(value as number));
    return each('STRING', String);
  }
  if (/^Float\d+$/.test(bare)) return each('DOUBLE', Number);
  if (bare === 'Bool') return each('BOOLEAN', Boolean);
  const moment = /^DateTime(64)?\(?.*$/.test(bare);
  if (moment) {
    const dates = values.map((value) => (typeof value === 'string' ? new Date(`${value.replace(' ', 'T')}Z`) : null));
    if (dates.every((date, i) => values[i] === null || (date !== null && !Number.isNaN(date.getTime()))))
      return { type: 'TIMESTAMP', data: dates };
  }
  return each('STRING', (value) => (typeof value === 'string' ? value : JSON.stringify(value)));
}
