/**
 * Repairs the files that a dead gateway left in the spool, using the functions of the live path.
 *
 *   1. Files are grouped by session; sessions that were closed and stored are removed (the crash interrupted their removal).
 *   2. The last line is repaired: an open text line is closed after its last whole character, any other torn line is cut off.
 *   3. The lines after the last journaled checkpoint pass through the same cutter and chain.
 *   4. A gap line `interrupted` is appended, and the last checkpoint signed with `end: interrupted`.
 * An event log
 *      outlives its gateway: it skips step 4, and its node continues after the last row.
 * A crash anywhere in here repeats it: 2 is idempotent, 3 writes nothing, and after 4 the session is complete. A crash
 * between the two halves of 4 leaves two gap lines. Tested in recovery.test.ts and crash.test.ts.
 */
import { isUtf8 } from 'node:buffer';
import { StenoError } from '#schemas/base/errors.js';
import { BLOCK_MAX_MS } from '#schemas/recording/block.js';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { isLastRow } from '#schemas/kernel/kernel.js';
import { EventPlaces } from '#schemas/recording/event-places.js';
import { MAX_LINE_BYTES, closeText, lineLimit, parseHeader, parseLine, peekLine } from '#schemas/recording/line.js';
import type { RecordingHeader, Stream } from '#schemas/recording/line.js';
import { wholeUtf8 } from './escape.js';
import { SignedLog } from './signed-log.js';
import type { LogParts } from './signed-log.js';
import { readRecords } from './journal.js';
import type { LogMark } from './journal.js';
import { SessionFiles, fileName } from './session-files.js';
import type { SpoolShare } from './session-files.js';

export type Found =
  /** Repaired and signed; ready to send. */
  | { readonly kind: 'recovered'; readonly log: SignedLog; readonly header: RecordingHeader | null; readonly interrupted: boolean }
  /** An event log that may continue. */
  | { readonly kind: 'log'; readonly log: SignedLog; readonly mark: LogMark }
  /** No byte of it was ever shown to a user. Its files have been removed. */
  | { readonly kind: 'empty'; readonly session: string; readonly stream: Stream; readonly counter: number | null }
  /** The disk refuses the missing writes: try again later. */
  | { readonly kind: 'later'; readonly name: string }
  /** Cannot be continued: keep it in quarantine. */
  | { readonly kind: 'damaged'; readonly files: SessionFiles; readonly reason: string };

const closing = Buffer.from(closeText());
const namePattern = /^([0-9a-z]{26})(-events)?(?:\.(\d{15}))?\.(cast|state)$/;

/**
 * Repairs and closes everything found (or `only` the files of one name), oldest first. Throws only if the folder cannot be
 * read.
 */
export function recoverSpool(share: SpoolShare, parts: LogParts, only?: string): Found[] {
  const sessions = new Map<string, { session: string; stream: Stream; starts: number[]; state: boolean }>();
  for (const name of share.files.list(share.folder)) {
    const match = namePattern.exec(name);
    if (match === null) continue;
    const [, session, events, start, kind] = match;
    const stream: Stream = events === undefined ? 'recording' : 'events';
    const key = fileName(session!, stream);
    if (only !== undefined && key !== only) continue;
    const entry = sessions.get(key) ?? { session: session!, stream, starts: [], state: false };
    sessions.set(key, entry);
    if (kind === 'state') entry.state = true;
    else entry.starts.push(Number(start ?? 0));
  }
  const found: Found[] = [];
  for (const [key, { session, stream, starts, state }] of [...sessions].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const before = share.bytes;
    try {
      const result = recoverSession(
        share,
        parts,
        session,
        stream,
        starts.sort((a, b) => a - b),
        state,
      );
      if (result !== null) found.push(result);
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
      share.grew(before - share.bytes);
      found.push({ kind: 'later', name: key });
    }
  }
  return found;
}

function recoverSession(
  share: SpoolShare,
  parts: LogParts,
  session: string,
  stream: Stream,
  starts: number[],
  state: boolean,
): Found | null {
  const { files: disk, folder } = share;
  const path = (start: number): string =>
    `${folder}/${fileName(session, stream)}${start === 0 ? '' : `.${String(start).padStart(15, '0')}`}.cast`;
  const sizes = starts.map((start) => disk.sizeOf(path(start)));
  const journalSize = state ? disk.sizeOf(`${folder}/${fileName(session, stream)}.state`) : 0;
  const files = new SessionFiles(share, session, { starts, sizes, journalSize }, stream);
  share.grew(files.size - files.first);
  let part = 0;
  let checkpoint: SignedCheckpoint | null = null;
  let mark: LogMark | undefined;
  let counter: number | null = null;
  let wholeJournal = 0;
  const records = [...readRecords(files.readJournal())];
  if (records.some(({ record }) => record.kind === 'stored' && record.closed)) {
    files.remove();
    return null;
  }
  for (const { record, end } of records) {
    // Lines lost in a power cut were never sent with a checkpoint, so a checkpoint that covers them does not count.
    if (record.kind === 'part' && record.checkpoint.bytes > files.size) break;
    wholeJournal = end;
    if (record.kind === 'part') ({ part, checkpoint, log: mark } = record);
  }
  files.journalSize = wholeJournal;
  if (starts.length === 0) return { kind: 'damaged', files, reason: 'the lines are missing' };
  if (starts.some((start, i) => i > 0 && start !== starts[i - 1]! + sizes[i - 1]!))
    return { kind: 'damaged', files, reason: 'lines are missing in the middle' };
  const from = checkpoint?.bytes ?? 0;
  if (from < files.first) return { kind: 'damaged', files, reason: 'the checkpoint before the first line is missing' };

  let header: RecordingHeader | null = null;
  const lines = repairedLines(files, from);
  if (files.first === 0) {
    const first = readHeader(files);
    if (first.header === null) {
      files.discard();
      return { kind: 'empty', session, stream, counter: first.counter };
    }
    header = first.header;
    counter = header.steno.counter;
  }
  counter ??= checkpoint?.counter ?? null;
  const gateway = header?.steno.gateway ?? checkpoint?.gateway;
  if (counter === null || gateway === undefined) return { kind: 'damaged', files, reason: 'neither header nor checkpoint' };
  const log = new SignedLog(files, gateway, counter, parts);
  log.resume(part, checkpoint, lines);
  if (stream === 'events') {
    const node = header?.steno.node ?? mark?.node;
    if (node === undefined) return { kind: 'damaged', files, reason: 'neither header nor checkpoint' };
    return { kind: 'log', log, mark: markAfter({ node, last: mark?.last ?? null, over: mark?.over ?? false }, lines) };
  }
  const interrupted = !log.ended;
  if (interrupted) {
    // One second later than every existing line: blocks that were cut, and perhaps sent, stay as they are.
    const now = log.last + BLOCK_MAX_MS;
    log.line({ code: 'g', data: { reason: 'interrupted' } }, now);
    log.end('interrupted', now);
  }
  return { kind: 'recovered', log, header, interrupted };
}

/** Advances `mark` over the rows after the last checkpoint. */
function markAfter({ node, last, over }: LogMark, lines: readonly Buffer[]): LogMark {
  const places = new EventPlaces(last);
  for (const line of lines) {
    if (line[0] === 0x7b) continue;
    const parsed = parseLine(line.toString('utf8'), 'events');
    if (parsed?.code !== 'e') continue;
    places.take(parsed.data);
    over ||= isLastRow(parsed.data[3], parsed.data[9]);
  }
  return { node, last: places.last, over };
}

/** The complete lines from `from` on. The file is truncated after the last good one; an open text line is closed first. */
function repairedLines(files: SessionFiles, from: number): Buffer[] {
  const lines: Buffer[] = [];
  const longest = lineLimit(files.stream);
  const window = Buffer.allocUnsafe(longest + 3 * MAX_LINE_BYTES);
  let at = from;
  while (at < files.size) {
    const filled = window.subarray(0, files.read(at, window, window.length));
    let start = 0;
    for (let end = filled.indexOf(0x0a) + 1; end > 0; end = filled.indexOf(0x0a, start) + 1) {
      const line = filled.subarray(start, end);
      if (line.length > longest || !isLine(line, at + start === 0, files.stream)) break;
      lines.push(Buffer.from(line));
      start = end;
    }
    at += start;
    if (start > 0) continue;
    // The first line of the window is torn, or is not ours (after a power cut anything may follow the synced data).
    const torn = filled.subarray(0, MAX_LINE_BYTES - closing.length);
    const keep = openLineLength(torn);
    files.cutOff(at + keep);
    if (keep > 0) {
      files.append(closing, closing.length);
      lines.push(Buffer.concat([torn.subarray(0, keep), closing]));
    }
    break;
  }
  return lines;
}

function isLine(line: Buffer, isFirst: boolean, stream: Stream): boolean {
  if (!isUtf8(line)) return false;
  const text = line.toString('utf8');
  try {
    if (isFirst) parseHeader(text);
    else {
      peekLine(text);
      parseLine(text, stream);
    }
    return true;
  } catch {
    return false;
  }
}

/**
 * How much of a torn text line can be kept: up to its last whole character and escape; 0 if it is not a text line or holds
 * no text yet. Nothing cut off here was shown, since `output` had not returned.
 */
export function openLineLength(line: Buffer): number {
  const prefix = /^\[\d{1,9}(?:\.\d{1,3})?,"[oi]","/.exec(line.toString('latin1', 0, 32))?.[0].length ?? 0;
  if (prefix === 0) return 0;
  let i = prefix;
  while (i < line.length) {
    const byte = line[i]!;
    // The closing quote, or debris of a power cut.
    if (byte === 0x22 || byte < 0x20) break;
    if (byte !== 0x5c) {
      i += 1;
      continue;
    }
    const width = line[i + 1] === 0x75 ? 6 : 2;
    if (i + width > line.length || line.subarray(i, i + width).includes(0)) break;
    i += width;
  }
  const text = line.subarray(prefix, i);
  const whole = wholeUtf8(text);
  return whole > 0 && isUtf8(text.subarray(0, whole)) ? prefix + whole : 0;
}

/** Reads the first line, which must still be on disk. */
export function readHeader(files: SessionFiles): { header: RecordingHeader | null; counter: number | null } {
  const window = Buffer.allocUnsafe(MAX_LINE_BYTES);
  const length = files.read(0, window, window.length);
  const end = window.subarray(0, length).indexOf(0x0a);
  const text = window.toString('utf8', 0, end < 0 ? length : end);
  const counter = Number(/"counter":(\d{1,15}),/.exec(text)?.[1] ?? NaN);
  try {
    return { header: end < 0 ? null : parseHeader(text), counter };
  } catch {
    return { header: null, counter: Number.isNaN(counter) ? null : counter };
  }
}
