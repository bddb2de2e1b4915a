/** A verifier's input and verdict. */
import type { ErrorCode } from '../base/errors.js';
import type { Sha256 } from './chain.js';
import type { SignedCheckpoint } from './checkpoint.js';
import type { Keyframe, RecordingHeader } from './line.js';

export interface VerifierParts {
  readonly sha256: Sha256;
  /** Decompresses one zstd data frame and checks its checksum; throws if it is damaged. */
  readonly decompress: (frame: Uint8Array) => Uint8Array;
  /**
   * Checks that `certificate` (SSH blob) was issued by the recording CA for `checkpoint.gateway`, was valid at
   * `checkpoint.time`, and made the signature. Returns the fault, or null.
   */
  readonly checkSignature: (checkpoint: SignedCheckpoint, certificate: Uint8Array) => string | null;
  /** `SHA256:...`, as OpenSSH prints it. */
  readonly fingerprint: (certificate: Uint8Array) => string;
  /** Compares keyframes with the screen that the lines draw. Omitted by a verifier without a terminal, which leaves keyframes unchecked. */
  readonly screens?: (header: RecordingHeader) => ScreenCheck;
}

export type Verdict =
  | {
      readonly ok: true;
      readonly header: RecordingHeader;
      readonly checkpoint: SignedCheckpoint;
      readonly parts: number;
      readonly blocks: number;
      /** Bytes of signed lines. */
      readonly bytes: number;
      /** Session time of the last line in ms. */
      readonly duration: number;
      readonly keyframes: number;
      /** Whether the recording says that the session has an event log. */
      readonly logged: boolean;
      /** Whether keyframes were compared with the screen that the lines draw. */
      readonly keyframesChecked: boolean;
    }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly detail: string;
      /** The first block that is bad or missing, if known. */
      readonly block: number | null;
      /** Session time in ms up to which everything was found good. */
      readonly goodUntil: number;
      readonly header: RecordingHeader | null;
    };

export interface Fault {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly block: number | null;
}

/** Draws the lines and compares keyframes with the resulting screen. */
export interface ScreenCheck {
  /** A line with code `o` or `r`, newline included. */
  line(line: Uint8Array): void;
  /** The first difference, or null. */
  keyframe(keyframe: Keyframe): string | null;
}

/** Where a segment may begin: at a frame or a keyframe. */
export interface Place {
  readonly frame: number;
  readonly offset: number;
  readonly at: number;
  readonly block: number;
}
