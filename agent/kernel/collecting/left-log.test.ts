import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { Digests } from './digests.js';
import { EventLog } from '../log/log.js';
import { RECORD_BYTES, kinds } from '../records/record.js';
import { RING_HEADER, stride } from '../probes/ring.js';
import { RowSender } from './row-sender.js';
import { SESSION } from '../testing/probe.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-rows-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function record(kind: number, number: number, facts: object): Buffer {
  const text = Buffer.from(JSON.stringify(facts));
  const length = RECORD_BYTES + text.length;
  const bytes = Buffer.alloc(stride(length));
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt32LE(number, RING_HEADER + 8);
  bytes[RING_HEADER + 12] = kind;
  bytes.writeUInt32LE(text.length, RING_HEADER + 64);
  text.copy(bytes, RING_HEADER + RECORD_BYTES);
  return bytes;
}

const gaps = 9_000;

/** The log of a killed node service: files that nobody writes to any more. */
function leaveLog(files: number): void {
  for (let file = 0; file < files; file++) {
    const log = new EventLog(folder);
    log.append(
      record(kinds.session, 1, { session: SESSION, classes: ['exec'], mode: 'strict', clock: { boot_ns: 0, offset_ms: 0, error_ms: 1 } }),
    );
    for (let i = 0; i < gaps; i++)
      log.append(record(kinds.gap, 1, { state: 'gap', why: 'ring_full', count: i + 1, first_ms: 0, last_ms: 0 }));
    log.close();
  }
}

describe('a log that a node service before left', () => {
  it.each([1, 3])('of %i files is sent once, however late the acknowledgements come, and goes', async (files) => {
    leaveLog(files);
    const log = new EventLog(folder);
    const sent: { readonly id: string; readonly rows: readonly KernelRow[]; readonly payload: Uint8Array }[] = [];
    const sender = new RowSender({
      log,
      digests: new Digests(),
      now: Date.now,
      writing: () => false,
      late: () => true,
      over: () => undefined,
      post: (message) => {
        if (message.kind === 'failed') throw new Error(message.reason);
        if (message.kind === 'batch')
          sent.push({ id: message.id, rows: JSON.parse(Buffer.from(message.payload).toString()) as KernelRow[], payload: message.payload });
      },
    });
    await sender.send(true);
    // Each acknowledgement comes when as much as possible was sent, so that the end of a file is reached before its first batch is
    // acknowledged.
    for (let acknowledged = 0; acknowledged < sent.length; acknowledged++) {
      const { id, payload } = sent[acknowledged]!;
      sender.stored(id, false, payload);
      // One more turn than a file takes; `send` does nothing while another is in progress.
      for (let turn = 0; turn < 12; turn++) {
        await nextTurn();
        await sender.send(true);
      }
      expect(sent.length).toBeLessThanOrEqual(files * 10);
    }
    expect(new Set(sent.map(({ id }) => id)).size).toBe(sent.length);
    expect(sent.flatMap(({ rows }) => rows)).toHaveLength(files * (gaps + 1));
    expect(sender.drained).toBe(true);
    for (let file = 1; file <= files; file++) expect(existsSync(join(folder, `${file}.log`))).toBe(false);
  });
});
