import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openZstd } from '#runtime/zstd.js';
import { openCompletenessCheck, openVerifier } from '#runtime/ssh/verifier.js';
import { KeyframeCheck } from '#recordings/render/keyframe-check.js';
import { verifyInBrowser } from '../verify/browser-verifier.js';
import { parseLines } from '#schemas/player/segments.js';
import { scanEvents, scanRecording, segmentText } from './scan.js';
import type { Scanned } from './scan.js';

const vector = (name: string): Buffer => readFileSync(new URL(`../../../test/vectors/${name}`, import.meta.url));
const zstd = await openZstd();
const decompress = (frame: Uint8Array): Uint8Array => zstd.decompress(frame);
const recording = vector('recording-1.cast.zst');
const ca = vector('recording-1.ca.pub').toString('utf8').trim();

function shownOf(file: Uint8Array, { segments }: Scanned): string {
  return segments.map((segment) => segmentText(file, decompress, segment)).join('');
}
const outputOf = (text: string): string =>
  parseLines(text, 0, false)
    .events.map((event) => (event.kind === 'output' ? event.text : ''))
    .join('');

describe('a recording', () => {
  const whole = scanRecording(recording, decompress, null)!;

  it('is shown whole, with the times of its verdict', async () => {
    const verdict = (await openVerifier([ca]))(recording);
    if (!verdict.ok) throw new Error(verdict.detail);
    expect(whole.duration).toBe(verdict.duration);
    expect(whole.header).toEqual(verdict.header);
    expect(whole.segments[0]!.start).toBe(0);
    expect(whole.segments.map(({ start }) => start)).toEqual([...whole.segments.map(({ start }) => start)].sort((a, b) => a - b));
    expect(whole.transcript.length).toBeGreaterThan(0);
  });

  it('is shown up to the first block that was found changed, and nothing of what follows', async () => {
    const check = await openCompletenessCheck();
    const output = outputOf(shownOf(recording, whole));
    let cut = 0;
    for (let at = 0; at < recording.length; at += Math.max(1, Math.floor(recording.length / 400))) {
      const changed = Buffer.from(recording);
      changed[at]! ^= 1 << (at % 8);
      const verdict = check(changed);
      if (verdict.ok || verdict.code === 'VERIFY_REORDERED') continue;
      const scanned = scanRecording(changed, decompress, verdict.block);
      if (scanned === null) continue;
      const shown = outputOf(shownOf(changed, scanned));
      expect(output.startsWith(shown), `byte ${at}`).toBe(true);
      if (verdict.block !== null) expect(scanned.duration, `byte ${at}`).toBeLessThanOrEqual(whole.duration);
      if (shown.length < output.length) cut += 1;
    }
    expect(cut).toBeGreaterThan(0);
  });

  it('is verified with its keyframes as by the command', async () => {
    const screens = (header: ConstructorParameters<typeof KeyframeCheck>[0]) => new KeyframeCheck(header);
    const node = await openVerifier([ca], screens);
    for (let at = 0; at <= recording.length; at += Math.floor(recording.length / 60)) {
      const changed = Buffer.from(recording);
      if (at < recording.length && at > 0) changed[at]! ^= 4;
      expect(verifyInBrowser(changed, { cas: [ca], decompress, onBytes: () => undefined, screens })).toEqual(node(changed));
    }
  });

  it('of nothing is nothing', () => {
    expect(scanRecording(new Uint8Array(0), decompress, null)).toBeNull();
    expect(scanRecording(Buffer.from('<!DOCTYPE html>'), decompress, null)).toBeNull();
    expect(scanRecording(recording, decompress, 1)).toBeNull();
  });
});

it('an event log is shown row by row', () => {
  const log = vector('events-1.events.zst');
  const { events, more } = scanEvents(log, decompress, null);
  expect(events.length).toBeGreaterThan(0);
  expect(more).toBe(0);
  expect(scanEvents(log, decompress, 1).events).toEqual([]);
  expect(scanEvents(log.subarray(0, log.length >> 1), decompress, null).events.length).toBeLessThanOrEqual(events.length);
});
