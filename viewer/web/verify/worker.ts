/** Verifies in a thread of its own: hashing a long recording takes seconds, in which the page must answer. */
import { decompress, init } from '@bokuweb/zstd-wasm';
import { StenoError } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { MAX_FRAME_BYTES, dataFrameLength } from '#schemas/recording/container.js';
import { verifyInBrowser } from './browser-verifier.js';
import { outcomeOf } from './outcome.js';
import type { VerifyOrder, WorkerSays } from './outcome.js';

/** The page is told that often. */
const TELL_BYTES = 2 << 20;

const say = (what: WorkerSays): void => self.postMessage(what);

async function run({ file, cas, session }: VerifyOrder): Promise<void> {
  await init();
  let bytes = 0;
  let told = 0;
  const verdict = verifyInBrowser(new Uint8Array(file), {
    cas,
    decompress(frame) {
      // Exactly one frame with a checksum, as `steno verify` wants it; zstd itself compares the checksum.
      if (dataFrameLength(frame) !== frame.length || (frame[4]! & 0x04) === 0)
        throw new StenoError('RECORDING_MALFORMED', 'a frame without checksum');
      const lines = decompress(frame as Uint8Array<ArrayBuffer>);
      if (lines.length > MAX_FRAME_BYTES) throw new StenoError('RECORDING_MALFORMED', 'a frame of excessive size');
      return lines;
    },
    onBytes(more) {
      bytes += more;
      if (bytes - told < TELL_BYTES) return;
      told = bytes;
      say({ kind: 'bytes', bytes });
    },
  });
  say({ kind: 'outcome', outcome: outcomeOf(verdict, session, (code) => new StenoError(code as ErrorCode).entry.message) });
}

self.onmessage = ({ data }: MessageEvent<VerifyOrder>) => {
  run(data).catch((error: unknown) => say({ kind: 'failed', reason: error instanceof Error ? error.message : 'it broke off' }));
};
