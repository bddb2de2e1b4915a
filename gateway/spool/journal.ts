/**
 * The journal beside a session's lines, `<session>.state`: everything that cannot be derived from the lines. Append-only,
 * one JSON object a line:
 *
 *     {"part":1,"checkpoint":{…}}      signed; kept byte for byte, so that a resend is the same checkpoint. For an event log
 *                                      also `log`: the state after those lines, which may have been freed
 *     {"stored":17,"closed":false}     ingest made all blocks up to this one durable
 *
 * A torn last line is ignored: nothing in it had been promised to anyone yet (a checkpoint leaves the gateway only after the
 * journal is fsynced, and ingest repeats `stored`). Tested in recovery.test.ts.
 */
import { isSignedCheckpoint } from '#schemas/recording/checkpoint.js';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { eventPlace } from '#schemas/recording/event-places.js';
import type { EventPlace } from '#schemas/recording/event-places.js';

export interface PartRecord {
  readonly kind: 'part';
  readonly part: number;
  readonly checkpoint: SignedCheckpoint;
  readonly log?: LogMark;
}

/** Progress of an event log. */
export interface LogMark {
  /** The node whose rows the log holds. */
  readonly node: string;
  /** Position of the last row; null before the first. */
  readonly last: EventPlace | null;
  /** The node has announced that no more rows follow. */
  readonly over: boolean;
}

export interface StoredRecord {
  readonly kind: 'stored';
  readonly stored: number;
  readonly closed: boolean;
}
export type JournalRecord = PartRecord | StoredRecord;

export function encodeRecord(record: JournalRecord): Buffer {
  const { kind, ...fields } = record;
  void kind;
  return Buffer.from(`${JSON.stringify(fields)}\n`);
}

export interface JournalEntry {
  readonly record: JournalRecord;
  /** Offset after the record. */
  readonly end: number;
}

/** The complete records in `bytes`; stops at the first line that is torn or is neither kind of record. */
export function* readRecords(bytes: Buffer, from = 0): Generator<JournalEntry> {
  for (let start = from; start < bytes.length;) {
    const end = bytes.indexOf(0x0a, start) + 1;
    if (end === 0) return;
    const record = parseRecord(bytes.toString('utf8', start, end));
    if (record === null) return;
    yield { record, end };
    start = end;
  }
}

function parseRecord(line: string): JournalRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { part, checkpoint, stored, closed, log } = value as Record<string, unknown>;
  if (Number.isSafeInteger(part) && isSignedCheckpoint(checkpoint)) {
    const mark = log === undefined ? undefined : parseMark(log);
    if (mark === null) return null;
    return { kind: 'part', part: part as number, checkpoint, ...(mark === undefined ? {} : { log: mark }) };
  }
  if (Number.isSafeInteger(stored) && typeof closed === 'boolean') return { kind: 'stored', stored: stored as number, closed };
  return null;
}

function parseMark(value: unknown): LogMark | null {
  if (typeof value !== 'object' || value === null) return null;
  const { node, last, over } = value as Record<string, unknown>;
  if (typeof node !== 'string' || typeof over !== 'boolean') return null;
  if (last === null) return { node, last, over };
  if (typeof last !== 'object') return null;
  const place = eventPlace([(last as Partial<EventPlace>).block, (last as Partial<EventPlace>).index]);
  return place === null ? null : { node, last: place, over };
}
