/** Writes the answer of a query: a table for reading, or CSV, JSON and Parquet, to standard output or a file. */
import { writeFileSync } from 'node:fs';
import { StenoError } from '#schemas/base/errors.js';
import { csvLines } from '#schemas/sql/csv.js';
import { escapedJson, standardOutput, styled, table } from '../../terminal/output.js';
import type { SqlAnswered } from './run.js';

export type SqlFormat = 'table' | 'csv' | 'json' | 'jsonl' | 'parquet';

export async function writeAnswer(
  answer: SqlAnswered,
  { format, output }: { readonly format?: SqlFormat; readonly output?: string },
): Promise<void> {
  const chosen = format ?? formatOf(output);
  const { out, err, env } = standardOutput;
  if (chosen === 'table') {
    if (output !== undefined) throw new StenoError('USAGE', 'a file needs --format csv, json, jsonl or parquet');
    table(
      standardOutput,
      answer.rows,
      answer.columns.map(({ name, type }, i) => ({
        title: name.toUpperCase(),
        value: (row: readonly unknown[]) => cell(row[i]),
        ...(/^(Nullable\()?(U?Int|Float|Decimal)/.test(type) ? { align: 'right' as const } : {}),
      })),
    );
  } else {
    const content = await encoded(answer, chosen);
    if (output !== undefined) writeFileSync(output, content, { mode: 0o600 });
    else if (chosen === 'parquet' && out.isTTY === true) throw new StenoError('USAGE', 'Parquet is not for terminals: add -o FILE');
    else out.write(content);
  }
  const { rows, truncated, hash, ms, sample } = answer;
  const count = rows.length === 1 ? '1 row' : `${rows.length.toLocaleString('en')} rows`;
  const of = sample === null ? '' : ` of ${sample.population.toLocaleString('en')}, seed ${sample.seed}`;
  const cut = truncated ? `, ${styled(err, env, 'yellow', 'and there are more: raise --limit')}` : '';
  err.write(`${styled(err, env, 'dim', `${count}${of}, ${ms} ms`)}${cut}\n${styled(err, env, 'dim', `sha256 ${hash}`)}\n`);
}

function formatOf(output: string | undefined): SqlFormat {
  const ending = /\.(csv|json|jsonl|parquet)$/.exec(output ?? '')?.[1];
  return (ending as SqlFormat | undefined) ?? 'table';
}

async function encoded({ columns, rows }: SqlAnswered, format: Exclude<SqlFormat, 'table'>): Promise<string | Uint8Array> {
  switch (format) {
    case 'csv':
      return [...csvLines({ columns, rows })].join('');
    case 'json':
      return `${escapedJson(rows.map(named), 1)}\n`;
    case 'jsonl':
      return rows.map((row) => `${escapedJson(named(row))}\n`).join('');
    case 'parquet':
      return (await import('#schemas/sql/parquet.js')).parquetOf({ columns, rows });
  }
  function named(row: readonly unknown[]): Readonly<Record<string, unknown>> {
    return Object.fromEntries(columns.map(({ name }, i) => [name, row[i]]));
  }
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value);
}
