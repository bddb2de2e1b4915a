/**
 * The worker of a standalone page: it holds the files, verifies them and answers the page's requests. Verifying a long recording takes
 * seconds, during which the page must stay responsive.
 */
import './worker-window.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { StenoError } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import type { OfflineFile } from '#schemas/offline/page.js';
import { toHex } from '#schemas/recording/chain.js';
import { isUnfinished, verifyEventLog } from '#schemas/recording/event-log-check.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { KeyframeCheck } from '#recordings/render/keyframe-check.js';
import { verifyInBrowser } from '../verify/browser-verifier.js';
import { decompressFrame, openFrames } from '../verify/frames.js';
import { logOutcomeOf, outcomeOf } from '../verify/outcome.js';
import type { Answer, Ask, Checked, Contents, OfflineFiles, Order, Said } from './messages.js';
import { scanEvents, scanRecording, segmentText } from './scan.js';
import type { ScannedSegment } from './scan.js';

const TELL_BYTES = 2 << 20;
const say = (what: Said, transfer: Transferable[] = []): void => self.postMessage(what, { transfer });
const messageOf = (code: string): string => new StenoError(code as ErrorCode).entry.message;

let recording = new Uint8Array(0);
let events: Uint8Array | null = null;
let session = '';
let segments: readonly ScannedSegment[] = [];

async function answer(order: Order): Promise<Answer> {
  await openFrames();
  switch (order.kind) {
    case 'open':
      return open(order.files, order.session);
    case 'check':
      return { kind: 'checked', checked: check(order.cas) };
    case 'segment': {
      const segment = segments[order.n];
      if (segment === undefined) throw new Error('there is no such part');
      return { kind: 'segment', text: segmentText(recording, decompressFrame, segment) };
    }
    case 'file': {
      const file = order.name === 'recording' ? recording : events;
      if (file === null) throw new Error('there is no such file');
      return { kind: 'file', content: file.slice().buffer };
    }
  }
}

/** Which blocks may be shown depends on the files alone; whose signature is trusted is a separate question. */
function open(files: OfflineFiles, id: string): Answer {
  recording = new Uint8Array(files.recording);
  events = files.events === null ? null : new Uint8Array(files.events);
  session = id;
  const digests: Partial<Record<OfflineFile, string>> = { recording: toHex(sha256(recording)) };
  if (events !== null) digests.events = toHex(sha256(events));
  const verdict = verify(recording, null);
  const scanned = scanRecording(recording, decompressFrame, limitOf(verdict));
  if (scanned === null) return { kind: 'opened', contents: null, digests };
  segments = scanned.segments;
  const log = events === null ? null : verify(events, null);
  const logged = log === null || events === null ? { events: [], more: 0 } : scanEvents(events, decompressFrame, limitOf(log));
  const contents: Contents = {
    ...{ header: scanned.header, duration: scanned.duration, transcript: scanned.transcript, untold: scanned.untold },
    segments: segments.map(({ start }) => ({ start })),
    facts: scanned.facts,
    events: logged.events,
    moreEvents: logged.more,
    exit: scanned.exit,
    digests,
  };
  return { kind: 'opened', contents, digests };
}

/** The first block that must not be shown. If parts are out of order, no block may be shown. */
function limitOf(verdict: Verdict): number | null {
  if (verdict.ok) return null;
  return verdict.code === 'VERIFY_REORDERED' ? 1 : verdict.block;
}

function check(cas: readonly string[]): Checked {
  const verdict = verify(recording, cas);
  const outcome = outcomeOf(verdict, session, messageOf);
  if (!verdict.ok || outcome.kind !== 'verified') return { recording: outcome, log: null, unfinished: false };
  const log = verifyEventLog(verdict, events, (file) => verify(file, cas));
  return { recording: outcome, log: logOutcomeOf(log, messageOf), unfinished: isUnfinished(log) };
}

function verify(file: Uint8Array, cas: readonly string[] | null): Verdict {
  let bytes = 0;
  let told = 0;
  return verifyInBrowser(file, {
    cas,
    decompress: decompressFrame,
    screens: (header) => new KeyframeCheck(header),
    onBytes(more) {
      bytes += more;
      if (bytes - told < TELL_BYTES) return;
      told = bytes;
      say({ kind: 'progress', bytes });
    },
  });
}

self.onmessage = ({ data: { id, order } }: MessageEvent<Ask>) => {
  answer(order).then(
    (found) => say({ kind: 'answer', id, answer: found }, found.kind === 'file' ? [found.content] : []),
    (error: unknown) => say({ kind: 'failed', id, reason: error instanceof Error ? error.message : 'it broke off' }),
  );
};
