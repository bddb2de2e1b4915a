/**
 * Exports, streamed: at most one frame and one page of rows are held at a time.
 *
 *   cast.zst   a file that verifies offline with the recording CA's public key (recordings/read/export-file.ts)
 *   events.zst the same of the session's event log: the kernel events that its gateway signed
 *   html       both in one page that replays and verifies itself (recordings/offline/page-file.ts)
 *   cast       the lines, as `zstd -dc` prints them
 *   txt        what scrolled over the screen, as text without control characters
 *   json       session, header, facts and rendered lines
 *   events.*   every event of the session, of its recording and of the kernel: as CSV, or a line of OCSF each
 *   svg, png   the screen at one moment
 *   gif        a span of it, animated
 *
 * Tested in export.test.ts with `verifyRecording` and stock `zstd`.
 */
import type { Readable } from 'node:stream';
import type { ExportFormat } from '#schemas/api/recordings/sessions.js';
import { lastAtOrBefore } from '#schemas/api/recordings/opening.js';
import { StenoError } from '#schemas/base/errors.js';
import { recordingPrefix } from '#schemas/recording/layout.js';
import { watermarkText } from '#schemas/offline/watermark.js';
import type { Watermark } from '#schemas/offline/watermark.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import { ocsfEvent } from '#schemas/ocsf/rows.js';
import { csvRow } from '#schemas/sql/csv.js';
import type { EventStore, ScreenLine } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { Zstd } from '#runtime/zstd.js';
import { loadOfflineApp } from '#recordings/offline/app.js';
import { offlinePage, refuseOversized } from '#recordings/offline/page-file.js';
import type { OfflineContent } from '#recordings/offline/page-file.js';
import { eventLogIndex } from '#recordings/read/event-log.js';
import { exportFile, exportLines } from '#recordings/read/export-file.js';
import type { RecordingIndex, RecordingReader } from '#recordings/read/recording-reader.js';
import { animationGif } from '#recordings/render/animation.js';
import type { Span, TimedSegment } from '#recordings/render/animation.js';
import { pictureAt } from '#recordings/render/picture.js';
import { pictureSize, pictureSvg } from '#recordings/render/picture-svg.js';
import type { PicturePainter } from '#recordings/render/picture-png.js';
import { renderText } from '#recordings/render/plain-text.js';
import { streamOf } from '../http/streamed.js';
import type { Sessions } from '../sessions/sessions.js';

export interface ExportParts {
  readonly objects: ObjectStore;
  readonly events: EventStore;
  readonly zstd: Zstd;
  readonly reader: RecordingReader;
  readonly sessions: Sessions;
  readonly painter: PicturePainter;
}

/** The parts of an offline page other than its files. */
export interface PageParts {
  readonly objects: ObjectStore;
  /** Folder of the built page, which contains the code of offline pages. */
  readonly webRoot: string;
  readonly version: string;
  /** Public key lines of the recording CA. */
  readonly recordingCas: () => readonly string[];
  readonly clock: () => number;
}

const encoder = new TextEncoder();

export const exportTypes: Readonly<Record<ExportFormat, string>> = {
  'cast.zst': 'application/zstd',
  'events.zst': 'application/zstd',
  html: 'text/html; charset=utf-8',
  cast: 'application/x-asciicast',
  txt: 'text/plain; charset=utf-8',
  json: 'application/json; charset=utf-8',
  'events.csv': 'text/csv; charset=utf-8',
  'events.ocsf': 'application/x-ndjson',
  svg: 'image/svg+xml; charset=utf-8',
  png: 'image/png',
  gif: 'image/gif',
};

/** Options of drawn output: the moment or span in ms of session time, and the watermark if a role requires one. */
export interface Drawn {
  readonly at?: number | undefined;
  readonly until?: number | undefined;
  readonly mark?: Watermark | undefined;
}

export function exportRecording(
  parts: ExportParts,
  row: SessionRow,
  index: RecordingIndex,
  format: Exclude<ExportFormat, 'html'>,
  { at = 0, until = at, mark }: Drawn = {},
): AsyncGenerator<Uint8Array, void> {
  switch (format) {
    case 'cast.zst':
      return exportFile(parts.objects, index);
    case 'events.zst':
      return exportLog(parts, row);
    case 'cast':
      return exportLines(parts, index);
    case 'txt':
      return text(parts, row, index, mark);
    case 'json':
      return json(parts, row, mark);
    case 'events.csv':
      return eventsCsv(parts, row, mark);
    case 'events.ocsf':
      return eventsOcsf(parts, row);
    case 'svg':
    case 'png':
      return picture(parts, row, index, { format, at, mark });
    case 'gif':
      return animationGif(parts.painter, () => segmentsOf(parts, row, index, { from: at, to: until }), { from: at, to: until }, mark);
  }
}

/** The watermark is the first and the last line, since text has nothing to draw over. */
async function* text(
  parts: ExportParts,
  row: SessionRow,
  index: RecordingIndex,
  mark: Watermark | undefined,
): AsyncGenerator<Uint8Array, void> {
  const line = mark === undefined ? null : encoder.encode(`Viewed by ${watermarkText(mark)}, session ${row.session}\n`);
  if (line !== null) yield line;
  yield* renderText(exportLines(parts, index), { cols: index.cols, rows: index.rows, tty: row.tty });
  if (line !== null) yield line;
}

async function* picture(
  { reader, painter }: ExportParts,
  row: SessionRow,
  index: RecordingIndex,
  { format, at, mark }: { readonly format: 'svg' | 'png'; readonly at: number; readonly mark: Watermark | undefined },
): AsyncGenerator<Uint8Array, void> {
  const { session, started_at: startedAt, login, node } = row;
  const { start, lines } = await reader.segment(session, startedAt, segmentAt(index, at));
  const title = `${login}@${node}, ${new Date(startedAt + at).toISOString()}, ${(at / 1000).toFixed(1)} s into session ${session}`;
  const screen = await pictureAt(lines, start, at);
  const svg = pictureSvg(screen, title, mark);
  yield format === 'svg' ? encoder.encode(svg) : await painter.paint(svg, pictureSize(screen));
}

function segmentAt({ segments }: RecordingIndex, at: number): number {
  if (segments.length === 0) throw new StenoError('NOT_FOUND', 'nothing of this moment is stored');
  return lastAtOrBefore(segments.length, (n) => segments[n]!.start, at);
}

async function* segmentsOf(
  { reader }: ExportParts,
  { session, started_at: startedAt }: SessionRow,
  index: RecordingIndex,
  { from, to }: Span,
): AsyncGenerator<TimedSegment> {
  const first = segmentAt(index, from);
  for (let n = first; n === first || (index.segments[n]?.start ?? Number.POSITIVE_INFINITY) <= to; n++) {
    const segment = await reader.segment(session, startedAt, n);
    // The session was sealed after the index was read: begin again.
    if (segment.start !== index.segments[n]!.start) throw new StenoError('STORE_NOT_FOUND', 'the recording was repacked');
    yield segment;
  }
}

const columns = [
  ...([
    'at',
    'offset_ms',
    'source',
    'kind',
    'user',
    'node',
    'login',
    'name',
    'path',
    'address',
    'port',
    'outcome',
    'reason',
    'size',
  ] as const),
  ...(['sha256', 'count', 'cluster', 'namespace', 'pod', 'container', 'emitter', 'block', 'index', 'data'] as const),
];

/** Cells that a spreadsheet would take for a formula are written as text (schemas/sql/csv.ts). A watermark has its own column. */
async function* eventsCsv(parts: ExportParts, row: SessionRow, mark: Watermark | undefined): AsyncGenerator<Uint8Array, void> {
  const marked = mark === undefined ? [] : [watermarkText(mark)];
  yield encoder.encode(csvRow(['session', ...columns, ...marked.map(() => 'watermark')]));
  for await (const rows of eventsOf(parts, row)) {
    const cells = (event: EventRow): readonly unknown[] =>
      columns.map((name) =>
        name === 'at' ? new Date(event.at).toISOString() : name === 'kind' && event.kind === 'unknown' ? event.raw_kind : event[name],
      );
    yield encoder.encode(rows.map((event) => csvRow([event.session, ...cells(event), ...marked])).join(''));
  }
}

async function* eventsOcsf(parts: ExportParts, row: SessionRow): AsyncGenerator<Uint8Array, void> {
  for await (const rows of eventsOf(parts, row))
    yield encoder.encode(rows.map((event) => `${JSON.stringify(ocsfEvent(event))}\n`).join(''));
}

async function* eventsOf({ events }: ExportParts, { session }: SessionRow): AsyncGenerator<readonly EventRow[]> {
  for (let cursor: string | undefined; ;) {
    const { rows, next } = await events.events({ session, order: 'session', limit: 1000, cursor });
    yield rows;
    if (next === null) return;
    cursor = next;
  }
}

/** Refuses a page too large for browsers before any byte is sent. */
export async function* exportPage(
  parts: PageParts,
  row: SessionRow,
  index: RecordingIndex,
  { by, mark }: { readonly by: string; readonly mark: Watermark | undefined },
): AsyncGenerator<Uint8Array, void> {
  const { objects, webRoot, version, recordingCas, clock } = parts;
  const app = await loadOfflineApp(webRoot);
  const log = await eventLogIndex(objects, recordingPrefix(row.session, row.started_at));
  const sizes = await Promise.all([...index.objects, ...(log?.objects ?? [])].map((key) => objects.size(key)));
  refuseOversized(sizes.reduce((sum, size) => sum + size, 0));
  const files: OfflineContent['files'] = [
    { name: 'recording', content: exportFile(objects, index) },
    ...(log === null ? [] : [{ name: 'events', content: exportFile(objects, log) } as const]),
  ];
  const notes =
    row.request_id === ''
      ? []
      : ['What the access requests said, and what the roles allowed, is in a page that `steno export --html` makes.'];
  const unsigned = { requests: [], roles: [], notes };
  yield* offlinePage(app, {
    session: row.session,
    steno: version,
    about: async () => ({
      made_at: clock(),
      made_by: by,
      cas: [...recordingCas()],
      unsigned,
      ...(mark === undefined ? {} : { watermark: true }),
    }),
    files,
  });
}

async function* exportLog({ objects }: ExportParts, row: SessionRow): AsyncGenerator<Uint8Array, void> {
  const index = await eventLogIndex(objects, recordingPrefix(row.session, row.started_at));
  if (index === null) throw new StenoError('NOT_FOUND', 'this session has no event log');
  yield* exportFile(objects, index);
}

/** Bytes read before the first byte is sent: this covers nearly every unsealed recording completely. */
const HEAD_START_BYTES = 8 << 20;

/**
 * Begins an export. If a part disappears while it is read, because the session is being sealed, the export restarts from the sealed
 * object. Once bytes have been sent, it is too late for that, hence the head start. `make` reads the index again.
 */
export async function beginExport(make: () => Promise<AsyncGenerator<Uint8Array, void>>): Promise<Readable> {
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
      return streamOf(held, source);
    } catch (error) {
      if (attempt > 0 || !(error instanceof StenoError) || error.code !== 'STORE_NOT_FOUND') throw error;
    }
  }
}

const ROWS_A_PAGE = 5_000;

async function* json(
  { events, reader, sessions }: ExportParts,
  row: SessionRow,
  mark: Watermark | undefined,
): AsyncGenerator<Uint8Array, void> {
  const header = await reader.header(row.session, row.started_at);
  const facts = await sessions.facts(row.session, Number.POSITIVE_INFINITY);
  const head = { ...(mark === undefined ? {} : { watermark: mark }), session: sessions.info(row), header, facts };
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
