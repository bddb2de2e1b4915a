/**
 * Exports, streamed: at no time is more held than one frame and one page of rows.
 *
 *   cast.zst   a file that verifies offline with the recording CA's public key (recordings/read/export-file.ts)
 *   events.zst the same of the session's event log: the kernel events that its gateway signed
 *   cast       the lines, as `zstd -dc` prints them
 *   txt        what scrolled over the screen, as text without control characters
 *   json       session, header, facts and rendered lines
 *
 * Tested in export.test.ts with `verifyRecording` and stock `zstd`.
 */
import type { ExportFormat } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { recordingPrefix } from '#schemas/recording/layout.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { EventStore, ScreenLine } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { Zstd } from '#runtime/zstd.js';
import { eventLogIndex } from '#recordings/read/event-log.js';
import { exportFile, exportLines } from '#recordings/read/export-file.js';
import type { RecordingIndex, RecordingReader } from '#recordings/read/recording-reader.js';
import { renderText } from '#recordings/render/plain-text.js';
import type { Sessions } from '../sessions/sessions.js';

export interface ExportParts {
  readonly objects: ObjectStore;
  readonly events: EventStore;
  readonly zstd: Zstd;
  readonly reader: RecordingReader;
  readonly sessions: Sessions;
}

const encoder = new TextEncoder();

export const exportTypes: Readonly<Record<ExportFormat, string>> = {
  'cast.zst': 'application/zstd',
  'events.zst': 'application/zstd',
  cast: 'application/x-asciicast',
  txt: 'text/plain; charset=utf-8',
  json: 'application/json; charset=utf-8',
};

export function exportRecording(
  parts: ExportParts,
  row: SessionRow,
  index: RecordingIndex,
  format: ExportFormat,
): AsyncGenerator<Uint8Array, void> {
  switch (format) {
    case 'cast.zst':
      return exportFile(parts.objects, index);
    case 'events.zst':
      return exportLog(parts, row);
    case 'cast':
      return exportLines(parts, index);
    case 'txt':
      return renderText(exportLines(parts, index), { cols: index.cols, rows: index.rows, tty: row.tty });
    case 'json':
      return json(parts, row);
  }
}

async function* exportLog({ objects }: ExportParts, row: SessionRow): AsyncGenerator<Uint8Array, void> {
  const index = await eventLogIndex(objects, recordingPrefix(row.session, row.started_at));
  if (index === null) throw new StenoError('NOT_FOUND', 'this session has no event log');
  yield* exportFile(objects, index);
}

/** Read before the first byte is sent: nearly every recording that is not sealed yet, whole. */
const HEAD_START_BYTES = 8 << 20;

/**
 * Begins an export. When a part goes while it is read, because the session is being sealed, it begins again at the
 * sealed object; once bytes are on their way that is too late, hence the head start. `make` reads the index anew.
 */
export async function beginExport(make: () => Promise<AsyncGenerator<Uint8Array, void>>): Promise<AsyncGenerator<Uint8Array, void>> {
  for (let attempt = 0; ; attempt++) {
    const source = await make();
    const held: Uint8Array[] = [];
    let length = 0;
    try {
      while (length < HEAD_START_BYTES) {
        const { done, value } = await source.next();
        if (done === true) break;
        held.push(value);
        length += value.length;
      }
      return chain(held, source);
    } catch (error) {
      if (attempt > 0 || !(error instanceof StenoError) || error.code !== 'STORE_NOT_FOUND') throw error;
    }
  }
}

async function* chain(held: readonly Uint8Array[], rest: AsyncGenerator<Uint8Array, void>): AsyncGenerator<Uint8Array, void> {
  yield* held;
  yield* rest;
}

const ROWS_A_PAGE = 5_000;

async function* json({ events, reader, sessions }: ExportParts, row: SessionRow): AsyncGenerator<Uint8Array, void> {
  const header = await reader.header(row.session, row.started_at);
  const facts = await sessions.facts(row.session, Number.POSITIVE_INFINITY);
  const head = { session: sessions.info(row), header, facts };
  yield encoder.encode(`${JSON.stringify(head, null, 1).slice(0, -2)},\n "lines": [`);
  let separator = '\n';
  for (let last: ScreenLine | null = null; ;) {
    const lines: readonly ScreenLine[] = await events.screenLines(
      row.session,
      last === null ? null : { block: last.block, index: last.index },
      ROWS_A_PAGE,
    );
    let text = '';
    for (const { offset_ms: time, row: line, text: content } of lines) {
      text += `${separator}  ${JSON.stringify({ time, row: line, text: content })}`;
      separator = ',\n';
    }
    yield encoder.encode(text);
    last = lines.at(-1) ?? null;
    if (last === null || lines.length < ROWS_A_PAGE) break;
  }
  yield encoder.encode('\n ]\n}\n');
}
