/** Answers as Parquet, read back by ClickHouse. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parquetOf } from '#schemas/sql/parquet.js';
import { openEngine } from '#stores/events/engine/engine.js';
import type { Engine } from '#stores/events/engine/engine.js';

describe('Parquet', () => {
  let folder: string;
  let engine: Engine;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steno-parquet-'));
    engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  });
  afterAll(async () => {
    await engine.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('is what ClickHouse reads back, with types', async () => {
    const columns = [
      { name: 's', type: 'LowCardinality(String)' },
      { name: 'n', type: 'UInt64' },
      { name: 'big', type: 'UInt64' },
      { name: 'f', type: 'Nullable(Float64)' },
      { name: 'b', type: 'Bool' },
      { name: 'at', type: "Nullable(DateTime64(3, 'UTC'))" },
      { name: 'list', type: 'Array(String)' },
      { name: 's', type: 'String' },
    ];
    const rows = [
      ['é=1', 5, '18446744073709551615', null, true, '2026-01-31 12:00:00.123', ['a', 'b'], 'x'],
      ['', 0, 7, 1.5, false, null, [], 'y'],
    ];
    const file = join(folder, 'answer.parquet');
    await writeFile(file, parquetOf({ columns, rows }));
    const { meta, data } = await engine.readChecked(
      `SELECT s, n, big, f, b, at, list, s_2 FROM file('${file}', Parquet) ORDER BY s DESC SETTINGS output_format_json_quote_64bit_integers = 0`,
    );
    expect(meta.map(({ type }) => type.replaceAll(/^Nullable\((.*)\)$/g, '$1'))).toEqual([
      'String',
      'Int64',
      'String',
      'Float64',
      'Bool',
      "DateTime64(3, 'UTC')",
      'String',
      'String',
    ]);
    expect(data).toEqual([
      ['é=1', 5, '18446744073709551615', null, true, '2026-01-31 12:00:00.123', '["a","b"]', 'x'],
      ['', 0, '7', 1.5, false, null, '[]', 'y'],
    ]);
  });

  test('an answer without rows is a file too', async () => {
    const file = join(folder, 'empty.parquet');
    await writeFile(file, parquetOf({ columns: [{ name: 'a', type: 'String' }], rows: [] }));
    expect((await engine.readChecked(`SELECT count() FROM file('${file}', Parquet)`)).data).toEqual([[0]]);
  });
});
