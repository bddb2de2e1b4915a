import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryIngest } from '#runtime/uplink/memory-ingest.js';
import { encodeLine } from '#schemas/recording/line.js';
import { startRecorder } from '../recorder/start.js';
import { checkRecording, facts, textOf, trialClock, trialDeps, trialFolder } from '../testing/recorder.js';
import { encodeRecord, readRecords } from './journal.js';
import { openLineLength } from './recovery.js';

let folder: ReturnType<typeof trialFolder>;
let ingest: MemoryIngest;
beforeEach(async () => {
  folder = trialFolder();
  ingest = new MemoryIngest();
  await ingest.listen();
});
afterEach(async () => {
  await ingest.close();
  folder.remove();
});

test('a torn text line keeps its whole characters and escapes, wherever it was cut', () => {
  const line = Buffer.from(encodeLine(1500, { code: 'o', data: 'a\r\n\u001b[0m"\\é漢🙂z' }));
  let last = 0;
  for (let length = 0; length < line.length; length++) {
    const kept = openLineLength(line.subarray(0, length));
    expect(kept).toBeLessThanOrEqual(length);
    expect(kept).toBeGreaterThanOrEqual(last);
    last = kept;
    if (kept > 0) JSON.parse(`${line.toString('utf8', 0, kept)}"]`);
  }
  expect(last).toBe(line.length - 3);
  for (const other of ['', '[', '[0.1,"g",{"reason"', '[0,"o","', '{"version":3', '\0\0\0\0'])
    expect(openLineLength(Buffer.from(other))).toBe(0);
  // A power cut can leave zeros after the written bytes.
  expect(openLineLength(Buffer.concat([Buffer.from('[0,"o","ab'), Buffer.alloc(8)]))).toBe('[0,"o","ab'.length);
});

test('the journal is read up to its first torn or foreign record', () => {
  const records = [
    { kind: 'stored', stored: 1, closed: false },
    { kind: 'stored', stored: 2, closed: true },
  ] as const;
  const bytes = Buffer.concat(records.map(encodeRecord));
  for (let length = 0; length <= bytes.length; length++) {
    const whole = [...readRecords(bytes.subarray(0, length))].map(({ record }) => record);
    expect(whole).toEqual(records.slice(0, length === bytes.length ? 2 : length > encodeRecord(records[0]).length - 1 ? 1 : 0));
  }
  expect([...readRecords(Buffer.concat([Buffer.from('{"x":1}\n'), bytes]))]).toEqual([]);
});

/** A recording with two checkpoints as a dead gateway leaves it: with lines after the last checkpoint, and not closed. */
async function abandoned(): Promise<string> {
  const clock = trialClock();
  const recorder = await startRecorder({ spool: folder.path, gateway: 'gw-1' }, trialDeps(null, { clock }));
  const session = await recorder.open(facts(), { cols: 80, rows: 24 });
  for (let i = 0; i < 40; i++) session.output('out', Buffer.from(`line ${i} ${'x'.repeat(16_000)}\r\n`));
  clock.advance(2_000);
  session.output('out', Buffer.from('last words'));
  await recorder.settled();
  const saved = readdirSync(folder.path, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => [name, readFileSync(`${folder.path}/${name}`)] as const);
  await recorder.close();
  // Restores the files as they were before the recorder closed.
  for (const [name, bytes] of saved) writeFileSync(`${folder.path}/${name}`, bytes);
  return session.session;
}

async function restart(): Promise<void> {
  const recorder = await startRecorder({ spool: folder.path, gateway: 'gw-1', drainMs: 5_000 }, trialDeps(ingest));
  await ingest.when(() => ingest.events.size > 0);
  await recorder.close();
  expect(ingest.faults).toEqual([]);
}

describe('a recording left by a dead gateway', () => {
  test('is closed as interrupted, and sent', async () => {
    const session = await abandoned();
    await restart();
    const recording = ingest.recordings.get(session)!;
    const parsed = checkRecording(recording);
    expect(recording.parts.map(({ checkpoint }) => checkpoint.end)).toEqual(['open', 'open', 'interrupted']);
    expect(textOf(parsed, 'o').endsWith('last words')).toBe(true);
    expect(parsed.lines.at(-1)).toMatchObject({ code: 'g', data: { reason: 'interrupted' } });
    expect(readdirSync(folder.path).filter((name) => name.startsWith(session))).toEqual([]);
  });

  test('keeps the bytes before those that a power cut damaged', async () => {
    const session = await abandoned();
    const path = `${folder.path}/${session}.cast`;
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.concat([bytes.subarray(0, bytes.length - 4), Buffer.alloc(4096)]));
    await restart();
    expect(textOf(checkRecording(ingest.recordings.get(session)!), 'o').endsWith('last w')).toBe(true);
  });

  test('whose journal lost its last checkpoint is signed again from the previous one', async () => {
    const session = await abandoned();
    const path = `${folder.path}/${session}.state`;
    const journal = readFileSync(path);
    writeFileSync(path, journal.subarray(0, journal.length - 5));
    await restart();
    expect(checkRecording(ingest.recordings.get(session)!).lines.at(-1)!.code).toBe('g');
  });

  test('that has no lines is quarantined and audited', async () => {
    const session = await abandoned();
    writeFileSync(`${folder.path}/${session}.cast`, '');
    writeFileSync(`${folder.path}/${session}.000000000000900.cast`, '');
    await restart();
    expect([...ingest.events.values()]).toMatchObject([{ event: 'recording.quarantined', session }]);
    expect(readdirSync(`${folder.path}/quarantine`).some((name) => name.startsWith(session))).toBe(true);
  });
});
