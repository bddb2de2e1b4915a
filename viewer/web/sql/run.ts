/** Runs one query at a time, with its progress, answer and failure; a new query or leaving the page cancels the previous one. */
import { useEffect, useRef, useState } from 'react';
import type { SqlColumnInfo, SqlDone, SqlLine } from '#schemas/api/recordings/sql.js';
import { ApiFailure } from '../parts/api.js';
import { respond } from '../parts/endpoints.js';

export interface Answer {
  readonly columns: readonly SqlColumnInfo[];
  readonly rows: readonly (readonly unknown[])[];
  readonly done: SqlDone;
  readonly sample: { readonly size: number; readonly seed: string } | null;
}

export type Run =
  | { readonly kind: 'idle' }
  | { readonly kind: 'running'; readonly ms: number; readonly rows: number | null; readonly of: number | null }
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'failed'; readonly error: ApiFailure };

export interface Asked {
  readonly sql: string;
  readonly rows: number;
  readonly sample: { readonly size: number; readonly seed: string } | null;
}

export function useRun(): { readonly run: Run; readonly start: (asked: Asked) => void; readonly cancel: () => void } {
  const [run, setRun] = useState<Run>({ kind: 'idle' });
  const current = useRef<AbortController | null>(null);
  useEffect(() => () => current.current?.abort(), []);
  const cancel = (): void => {
    current.current?.abort();
    current.current = null;
    setRun({ kind: 'idle' });
  };
  const start = (asked: Asked): void => {
    current.current?.abort();
    const controller = new AbortController();
    current.current = controller;
    setRun({ kind: 'running', ms: 0, rows: null, of: null });
    const show = (next: Run): void => {
      if (current.current === controller) setRun(next);
    };
    answerOf(asked, controller.signal, ({ ms, rows, of }) => show({ kind: 'running', ms, rows, of })).then(
      (answer) => show({ kind: 'answered', answer }),
      (error: unknown) => {
        const failure = error instanceof ApiFailure ? error : new ApiFailure('INTERNAL', 'the answer was cut off', 'Run it again.');
        show({ kind: 'failed', error: failure });
      },
    );
  };
  return { run, start, cancel };
}

type Progress = Extract<SqlLine, { readonly kind: 'progress' }>;

async function answerOf(asked: Asked, signal: AbortSignal, onProgress: (line: Progress) => void): Promise<Answer> {
  const { sql, rows: limit, sample } = asked;
  const body = { sql, rows: limit, ...(sample === null ? {} : { sample }) };
  const response = await respond('POST /api/sql', { body }, signal);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let columns: readonly SqlColumnInfo[] = [];
  const rows: (readonly unknown[])[] = [];
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiFailure('INTERNAL', 'the answer was cut off', 'Run it again.');
    const lines = `${rest}${value}`.split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) {
      const line = JSON.parse(text) as SqlLine;
      if (line.kind === 'progress') onProgress(line);
      else if (line.kind === 'columns') columns = line.columns;
      else if (line.kind === 'rows') for (const row of line.rows) rows.push(row);
      else if (line.kind === 'error')
        throw new ApiFailure(line.code, said(line), line.code === 'QUERY_TOO_HEAVY' ? 'Ask for a shorter time, or add up less.' : '');
      else return { columns, rows, done: line, sample };
    }
  }
}

function said({ code, detail }: { readonly code: string; readonly detail: string }): string {
  const what =
    code === 'QUERY_TOO_HEAVY' ? 'the query met its limit of time or memory' : code === 'BAD_REQUEST' ? 'the query cannot be run' : code;
  return detail === '' ? what : `${what}: ${detail}`;
}
