/**
 * Exports, streamed: at no time is more held than one frame and one page of rows.
 *
 *   cast.zst   the gateways' certificates, the objects' data frames and proofs in order, one seek table over all:
 *              verifies offline with the recording CA's public key. Certificates come first, so that a file that was
 *              cut off is called truncated and not unsigned
 *   cast       the lines, as `zstd -dc` prints them
 *   txt        what scrolled over the screen, as text without control characters
 *   json       session, header, facts and rendered lines
 *
 * In the seek table proofs and certificates are entries of decompressed size 0, so that offsets add up (zstd seekable
 * format 0.1.0, "Seek_Table_Entries"). Tested in export.test.ts with `verifyRecording` and stock `zstd`.
 */
import { StenoError } from '#schemas/errors.js';
import {
  INDEX_MAGIC,
  PROOF_MAGIC,
  SEEK_TABLE_MAGIC,
  ZSTD_MAGIC,
  dataFrameLength,
  encodeProof,
  encodeSeekTable,
} from '#schemas/recording/container.js';
import type { SeekEntry } from '#schemas/recording/container.js';
import { certificateKey } from '#schemas/recording/layout.js';
import type { SessionRow } from '#schemas/rows.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { contentSize } from '#runtime/zstd.js';
import type { Zstd } from '#runtime/zstd.js';
import type { RecordingIndex, RecordingReader } from './recording.js';
import { renderText } from './rendered-text.js';
import type { Sessions } from './sessions.js';

export type ExportFormat = 'cast.zst' | 'cast' | 'txt' | 'json';

export interface ExportParts {
  readonly objects: ObjectStore;
  readonly events: EventStore;
  readonly zstd: Zstd;
  readonly reader: RecordingReader;
  readonly sessions: Sessions;
}

const READ_BYTES = 1 << 20;
/** Larger frames are no recording. Compressed bytes. */
const MAX_FRAME = 9 << 20;
const encoder = new TextEncoder();

export const exportTypes: Readonly<Record<ExportFormat, string>> = {
  'cast.zst': 'application/zstd',
  cast: 'application/x-asciicast',
  txt: 'text/plain; charset=utf-8',
  json: 'application/json; charset=utf-8',
};

export function exportRecording(
  parts: ExportParts,
  row: SessionRow,
  index: RecordingIndex,
  format: ExportFormat,
): AsyncGenerator<Uint8Array> {
  switch (format) {
    case 'cast.zst':
      return castZst(parts, index);
    case 'cast':
      return lines(parts, index);
    case 'txt':
      return renderText(lines(parts, index), { cols: index.cols, rows: index.rows, tty: row.tty });
    case 'json':
      return json(parts, row);
  }
}

/** Read before the first byte is sent: nearly every recording that is not sealed yet, whole. */
const HEAD_START_BYTES = 8 << 20;

/**
 * Begins an export. When a part goes while it is read, because the session is being sealed, it begins again at the
 * sealed object; once bytes are on their way that is too late, hence the head start. `make` reads the index anew.
 */
export async function beginExport(make: () => Promise<AsyncGenerator<Uint8Array>>): Promise<AsyncGenerator<Uint8Array>> {
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

async function* chain(held: readonly Uint8Array[], rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* held;
  yield* rest;
}

async function* castZst({ objects }: ExportParts, index: RecordingIndex): AsyncGenerator<Uint8Array> {
  const entries: SeekEntry[] = [];
  for (const fingerprint of index.certificates) {
    const frame = encodeProof({ kind: 'certificate', certificate: await objects.get(certificateKey(fingerprint)) });
    entries.push({ compressed: frame.length, decompressed: 0 });
    yield frame;
  }
  for (const key of index.objects) {
    for await (const { kind, bytes } of readFrames(objects, key)) {
      if (kind === 'index' || kind === 'seek-table') continue;
      entries.push({ compressed: bytes.length, decompressed: kind === 'data' ? (contentSize(bytes) ?? 0) : 0 });
      yield bytes;
    }
  }
  yield encodeSeekTable(entries);
}

async function* lines({ objects, zstd }: ExportParts, index: RecordingIndex): AsyncGenerator<Uint8Array> {
  for (const key of index.objects) {
    for await (const { kind, bytes } of readFrames(objects, key)) if (kind === 'data') yield zstd.decompress(bytes);
  }
}

export type FrameKind = 'data' | 'proof' | 'index' | 'seek-table';
const skippableKinds = new Map<number, FrameKind>([
  [PROOF_MAGIC, 'proof'],
  [INDEX_MAGIC, 'index'],
  [SEEK_TABLE_MAGIC, 'seek-table'],
]);

/** Every frame of an object, whole, reading `READ_BYTES` at a time. */
export async function* readFrames(objects: ObjectStore, key: string): AsyncGenerator<{ kind: FrameKind; bytes: Uint8Array }> {
  const size = await objects.size(key);
  let offset = 0;
  let buffer: Uint8Array = new Uint8Array(0);
  for (;;) {
    for (let found = firstFrame(buffer); found !== null; found = firstFrame(buffer)) {
      yield { kind: found.kind, bytes: buffer.subarray(0, found.length) };
      buffer = buffer.subarray(found.length);
    }
    if (offset >= size) break;
    if (buffer.length > MAX_FRAME) throw new StenoError('RECORDING_MALFORMED', `an oversized frame in ${key}`);
    const next = await objects.get(key, { offset, length: Math.min(READ_BYTES, size - offset) });
    if (next.length === 0) break;
    offset += next.length;
    buffer = buffer.length === 0 ? next : Buffer.concat([buffer, next]);
  }
  if (buffer.length > 0) throw new StenoError('RECORDING_MALFORMED', `${key} is cut off`);
}

/** The frame at the start of `buffer`, or null while it is not whole. */
function firstFrame(buffer: Uint8Array): { readonly kind: FrameKind; readonly length: number } | null {
  if (buffer.length < 8) return null;
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  const magic = view.getUint32(0, true);
  const kind = skippableKinds.get(magic);
  if (kind !== undefined) {
    const length = 8 + view.getUint32(4, true);
    return buffer.length < length ? null : { kind, length };
  }
  if (magic !== ZSTD_MAGIC) throw new StenoError('RECORDING_MALFORMED', 'unknown frame');
  try {
    return { kind: 'data', length: dataFrameLength(buffer) };
  } catch (error) {
    if (error instanceof StenoError && error.detail === 'cut off') return null;
    throw error;
  }
}

const ROWS_A_PAGE = 5_000;

async function* json({ events, reader, sessions }: ExportParts, row: SessionRow): AsyncGenerator<Uint8Array> {
  const header = await reader.header(row.session, row.started_at);
  const facts = await sessions.facts(row.session, Number.POSITIVE_INFINITY);
  const head = { session: sessions.info(row), header, facts };
  yield encoder.encode(`${JSON.stringify(head, null, 1).slice(0, -2)},\n "lines": [`);
  let separator = '\n';
  for (let last = { block: -1, index: -1 }; ;) {
    // The id is of the store's own row and of the alphabet of ids; the numbers are numbers.
    const { rows } = await events.readOnlySql(
      `SELECT block, index, offset_ms, row, text FROM screen WHERE session = '${row.session}' AND (block, index) > (${last.block}, ${last.index}) ` +
        `ORDER BY block, index LIMIT ${ROWS_A_PAGE}`,
      { maxRows: ROWS_A_PAGE, maxSeconds: 60 },
    );
    let text = '';
    for (const [, , time, line, content] of rows) {
      text += `${separator}  ${JSON.stringify({ time, row: line, text: content })}`;
      separator = ',\n';
    }
    yield encoder.encode(text);
    const end = rows.at(-1);
    if (end === undefined || rows.length < ROWS_A_PAGE) break;
    last = { block: Number(end[0]), index: Number(end[1]) };
  }
  yield encoder.encode('\n ]\n}\n');
}
