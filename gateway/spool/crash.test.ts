/**
 * The write order of the recorder (recorder/signed-log.ts), broken at each step by SIGKILL. After the next start the recording is
 * complete and verifies, and it holds every byte for which `output` had returned.
 */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryIngest } from '#runtime/uplink/memory-ingest.js';
import { startRecorder } from '../recorder/start.js';
import { checkRecording, textOf, trialDeps, trialFolder, trialKey } from '../testing/recorder.js';
import type { Plan } from '../testing/crash-child.js';

const child = fileURLToPath(new URL('../../dist/gateway/testing/crash-child.js', import.meta.url));
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

/** Runs the child until it dies; resolves with its output. */
function crash(plan: Omit<Plan, 'folder' | 'key'>): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [child, JSON.stringify({ ...plan, folder: folder.path, key: trialKey })], (error, stdout, stderr) => {
      if ((error as { signal?: string } | null)?.signal === 'SIGKILL') resolve(stdout);
      else reject(new Error(`the child did not die: ${stderr}${stdout.length} bytes shown`));
    });
  });
}

const spooled = (): string[] => [...new Set(readdirSync(folder.path).flatMap((name) => /^([0-9a-z]{26})\./.exec(name)?.[1] ?? []))];

async function recover(): Promise<{ texts: string[]; ends: string[]; events: string[] }> {
  const recorder = await startRecorder({ spool: folder.path, gateway: 'gw-1', drainMs: 5_000 }, trialDeps(ingest));
  const sessions = new Set([...ingest.recordings.keys(), ...spooled()]);
  const closed = await Promise.all([...sessions].map((session) => ingest.closedSession(session)));
  await recorder.close();
  expect(spooled()).toEqual([]);
  expect(ingest.faults).toEqual([]);
  return {
    texts: closed.map((recording) => textOf(checkRecording(recording), 'o')),
    ends: closed.map(({ parts }) => parts.at(-1)!.checkpoint.end),
    events: [...ingest.events.values()].map((row) => row['event'] as string),
  };
}

type Step = readonly [string, Pick<Plan, 'call' | 'file' | 'nth' | 'when'>];
const live: readonly Step[] = [
  ['1: before text is written', { call: 'write', file: '.cast', nth: 4, when: 'before' }],
  ['1: in the middle of a write of text', { call: 'write', file: '.cast', nth: 4, when: 'midway' }],
  ['1: after text was written, before output returned', { call: 'write', file: '.cast', nth: 4, when: 'after' }],
  ['2: in the middle of closing one line and opening the next', { call: 'write', file: '.cast', nth: 7, when: 'midway' }],
  ['3: while a block is read back', { call: 'read', file: '.cast', nth: 2, when: 'after' }],
  ['4: before a checkpoint is journaled', { call: 'write', file: '.state', nth: 2, when: 'before' }],
  ['4: in the middle of the journal', { call: 'write', file: '.state', nth: 2, when: 'midway' }],
  ['4: after a checkpoint was journaled', { call: 'write', file: '.state', nth: 2, when: 'after' }],
  ['5: before lines are synced', { call: 'sync', file: '.cast', nth: 1, when: 'before' }],
  ['5: after the journal was synced', { call: 'sync', file: '.state', nth: 1, when: 'after' }],
];

describe('the gateway is killed while it records', () => {
  for (const [name, step] of live) {
    test(name, async () => {
      const shown = await crash({ ...step, url: null, record: true });
      const { texts, events } = await recover();
      expect(texts).toHaveLength(1);
      expect(texts[0]!.startsWith(shown)).toBe(true);
      expect(texts[0]!.length - shown.length).toBeLessThanOrEqual('piece 11 "é漢🙂"\r\n'.length);
      expect(events.every((event) => event === 'recording.interrupted')).toBe(true);
    });
  }

  test('before its first line: nothing was shown, and the number is accounted for', async () => {
    expect(await crash({ call: 'write', file: '.cast', nth: 1, when: 'midway', url: null, record: true })).toBe('');
    expect(await recover()).toMatchObject({ texts: [], events: ['recording.empty'] });
  });

  test('while it reserves numbers: no number is used twice', async () => {
    await crash({ call: 'rename', file: 'counter.new', nth: 1, when: 'after', url: null, record: true });
    await crash({ call: 'write', file: '.cast', nth: 3, when: 'after', url: null, record: true });
    await crash({ call: 'writeAt', file: 'counter.new', nth: 1, when: 'before', url: null, record: true });
    await crash({ call: 'write', file: '.cast', nth: 3, when: 'after', url: null, record: true });
    await recover();
    const counters = [...ingest.recordings.values()].map((recording) => checkRecording(recording).header.steno.counter);
    expect(counters.sort()).toEqual([1, 2]);
  });
});

test('6: after the last checkpoint the session is complete, not interrupted', async () => {
  await crash({ call: 'write', file: '.state', nth: 3, when: 'after', url: null, record: true });
  expect(await recover()).toMatchObject({ ends: ['complete'], events: [] });
});

describe('the gateway is killed while it recovers', () => {
  for (const [name, step] of [
    ['after the torn line was repaired', { call: 'write', file: '.cast', nth: 1, when: 'after' }],
    ['in the middle of the gap line', { call: 'write', file: '.cast', nth: 2, when: 'midway' }],
    ['before the last checkpoint', { call: 'write', file: '.state', nth: 1, when: 'before' }],
    ['after the last checkpoint', { call: 'write', file: '.state', nth: 1, when: 'after' }],
  ] as readonly Step[]) {
    test(name, async () => {
      const shown = await crash({ call: 'write', file: '.cast', nth: 7, when: 'midway', url: null, record: true });
      await crash({ ...step, url: null, record: false });
      const { texts, ends } = await recover();
      expect(texts[0]!.startsWith(shown)).toBe(true);
      expect(ends).toEqual(['interrupted']);
    });
  }
});

describe('the gateway is killed while it deletes recordings that ingest stored', () => {
  for (const [name, step] of [
    ['before the lines are deleted', { call: 'unlink', file: '.cast', nth: 1, when: 'before' }],
    ['after the lines were deleted', { call: 'unlink', file: '.cast', nth: 1, when: 'after' }],
    ['before the journal is deleted', { call: 'unlink', file: '.state', nth: 1, when: 'before' }],
  ] as readonly Step[]) {
    test(name, async () => {
      const shown = await crash({ ...step, url: ingest.url, record: true });
      const { texts, ends, events } = await recover();
      expect(texts).toEqual([shown]);
      expect(ends).toEqual(['complete']);
      expect(events).not.toContain('recording.quarantined');
    });
  }
});
