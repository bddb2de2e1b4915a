/** Runs one query on the viewer, with progress on a terminal; Ctrl-C closes the connection, which cancels it. */
import { createInterface } from 'node:readline';
import { runSql } from '#schemas/api/recordings/sql.js';
import type { SqlColumnInfo, SqlLine, SqlRequest } from '#schemas/api/recordings/sql.js';
import { StenoError, isErrorCode } from '#schemas/base/errors.js';
import type { Client } from '../../client/client.js';
import { standardOutput } from '../../terminal/output.js';

export interface SqlAnswered {
  readonly columns: readonly SqlColumnInfo[];
  readonly rows: readonly (readonly unknown[])[];
  readonly truncated: boolean;
  readonly hash: string;
  readonly ms: number;
  readonly sample: { readonly size: number; readonly seed: string; readonly population: number } | null;
}

/** Null: cancelled. */
export async function runQuery(client: Pick<Client, 'stream'>, request: SqlRequest): Promise<SqlAnswered | null> {
  const stream = await client.stream(runSql.path, request);
  let cancelled = false;
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  const cancel = (): void => {
    cancelled = true;
    // A stream that is destroyed does not end what reads its lines.
    lines.close();
    stream.destroy();
  };
  process.once('SIGINT', cancel);
  let columns: readonly SqlColumnInfo[] = [];
  const rows: (readonly unknown[])[] = [];
  try {
    for await (const text of lines) {
      const line = JSON.parse(text) as SqlLine;
      switch (line.kind) {
        case 'progress':
          showProgress(line);
          break;
        case 'columns':
          columns = line.columns;
          break;
        case 'rows':
          for (const row of line.rows) rows.push(row);
          break;
        case 'error':
          throw new StenoError(isErrorCode(line.code) ? line.code : 'INTERNAL', line.detail === '' ? undefined : line.detail);
        case 'done': {
          const { truncated, hash, ms, population } = line;
          const sample = request.sample === undefined ? null : { ...request.sample, population: population ?? rows.length };
          return { columns, rows, truncated, hash, ms, sample };
        }
      }
    }
  } catch (error) {
    if (!cancelled) throw error;
  } finally {
    showProgress(null);
    process.off('SIGINT', cancel);
  }
  if (!cancelled) throw new StenoError('NOT_RUNNING', 'the answer was cut off');
  standardOutput.err.write('Cancelled.\n');
  return null;
}

function showProgress(line: Extract<SqlLine, { readonly kind: 'progress' }> | null): void {
  const { err } = standardOutput;
  if (err.isTTY !== true) return;
  if (line === null) return void err.write('\r\u001b[K');
  const seconds = `${Math.round(line.ms / 1000)} s`;
  const read = line.rows === null ? '' : `  ${line.rows.toLocaleString('en')} of ${(line.of ?? line.rows).toLocaleString('en')} rows read`;
  err.write(`\r\u001b[K${seconds}${read}  Ctrl-C cancels`);
}
