/**
 * Walks the lines of a recording, part by part: header, blocks, chain, tags, checkpoints, and the positions of keyframes.
 *
 * One frame and one block are held at a time, whatever the file claims. A keyframe is derived data and in no block, but
 * players draw it: it may occur only before a line that begins a block, never before the first, only once, and only in a
 * session with a terminal. An event log has no keyframes and contains only rows, in ascending position. Tested in
 * part-walk.test.ts.
 */
import { StenoError } from '../base/errors.js';
import { BlockCutter } from './block.js';
import { TAG_BYTES, chainNext, chainStart, toHex } from './chain.js';
import { EventPlaces } from './event-places.js';
import { lineLimit, parseHeader, parseKeyframe, parseLine, peekLine, streamOf } from './line.js';
import type { Keyframe, RecordingHeader, Stream } from './line.js';
import type { PartProof } from './proof.js';
import type { Fault, Place, ScreenCheck, VerifierParts } from './verdict.js';

const NEWLINE = 0x0a;
const OPEN_BRACE = 0x7b;
const decoder = new TextDecoder('utf-8');
const strict = new TextDecoder('utf-8', { fatal: true });

class Refused extends Error {
  readonly fault: Fault;

  constructor(code: Fault['code'], detail: string, block: number | null) {
    super(detail);
    this.fault = { code, detail, block };
  }
}

export class PartWalk {
  readonly #parts: VerifierParts;
  header: RecordingHeader | null = null;
  /** Blocks so far, their bytes, and the session time of the last line. */
  n = 0;
  bytes = 0;
  at = 0;
  /** Session time up to which everything was found good. */
  goodUntil = 0;
  keyframes = 0;
  /** Whether the recording says that the session's kernel events are in a signed log. */
  logged = false;
  /** The fault of the first keyframe that shows something else, reported once the lines that it was compared with are known to be signed. */
  screenFault: Fault | null = null;
  readonly places: Place[] = [];
  #head: Uint8Array = new Uint8Array(0);
  #frame = 0;
  #screens: ScreenCheck | null = null;
  /** The file's stream; `recording` until the header is read. */
  #stream: Stream = 'recording';
  readonly #rows = new EventPlaces();
  /** State of the current part: its proof, the unfinished block, and the keyframe waiting for its line. */
  #proof!: PartProof;
  #cutter = new BlockCutter();
  #block: Uint8Array[] = [];
  #keyframe: { readonly value: Keyframe; readonly place: Place } | null = null;

  constructor(parts: VerifierParts) {
    this.#parts = parts;
  }

  /** Walks the next part. `last`: no other follows. */
  part(proof: PartProof, frames: readonly Uint8Array[], last: boolean): Fault | null {
    const { checkpoint, part, first_block: first } = proof;
    try {
      if (first !== this.n + 1) throw this.#refused(`part ${part} claims to start at block ${first}`);
      if (!last && checkpoint.end !== 'open') throw this.#refused(`part ${part} closes the session, and another follows`);
      if (frames.length === 0 && checkpoint.end === 'open') throw this.#refused(`part ${part} is empty`);
      this.#proof = proof;
      this.#cutter = new BlockCutter();
      for (const frame of frames) this.#lines(this.#decompress(frame));
      if (this.#keyframe !== null) throw this.#refused(`part ${part} ends with a keyframe`);
      this.#closeBlock();
      const { n, bytes, at } = this;
      if (
        this.header === null ||
        checkpoint.block !== n ||
        checkpoint.bytes !== bytes ||
        checkpoint.at !== at ||
        checkpoint.head !== toHex(this.#head)
      ) {
        throw new Refused('VERIFY_ALTERED', `the checkpoint of part ${part} does not match its blocks`, first);
      }
      return null;
    } catch (error) {
      if (error instanceof Refused) return error.fault;
      if (error instanceof StenoError && error.code === 'RECORDING_VERSION')
        return { code: error.code, detail: error.detail ?? '', block: null };
      return this.#refused(`part ${part} is not made of recording lines`).fault;
    }
  }

  /** Names the block that was being read. */
  #refused(detail: string): Refused {
    return new Refused('VERIFY_ALTERED', detail, Math.max(1, this.#block.length > 0 ? this.n : this.n + 1));
  }

  #decompress(frame: Uint8Array): Uint8Array {
    try {
      return this.#parts.decompress(frame);
    } catch {
      throw this.#refused(`a zstd frame of part ${this.#proof.part} is damaged`);
    }
  }

  #lines(lines: Uint8Array): void {
    const frame = this.#frame++;
    for (let start = 0; start < lines.length;) {
      const end = lines.indexOf(NEWLINE, start) + 1;
      if (end === 0 || end - start > lineLimit(this.#stream)) throw this.#refused('a frame is not made of whole lines');
      this.#line(lines.subarray(start, end), { frame, offset: start });
      start = end;
    }
  }

  #line(line: Uint8Array, { frame, offset }: Pick<Place, 'frame' | 'offset'>): void {
    let code = '';
    const from = this.at;
    if (this.header === null) {
      if (line[0] !== OPEN_BRACE || this.#keyframe !== null) throw this.#refused('the recording does not begin with its header');
      this.header = parseHeader(strict.decode(line.subarray(0, line.length - 1)));
      this.#stream = streamOf(this.header);
      this.#head = chainStart(this.#parts.sha256, this.header.steno.session, this.#stream);
      this.#screens = this.header.steno.tty === true && this.#stream === 'recording' ? (this.#parts.screens?.(this.header) ?? null) : null;
    } else {
      const head = peekLine(decoder.decode(line.subarray(0, 64)));
      code = head.code;
      if (this.#stream === 'events') this.#row(line);
      if (code === 's' && !this.logged) this.logged = saysLogged(line);
      if (code === 'k') return this.#standKeyframe(line, { frame, offset, at: this.at, block: this.n + 1 });
      this.at += head.interval;
    }
    if (this.#cutter.startsBlock(line.length, this.at)) {
      this.#closeBlock(from);
      this.n += 1;
      if (this.#keyframe !== null) this.#passKeyframe(this.#keyframe);
      else if (offset === 0) this.places.push({ frame, offset, at: from, block: this.n });
    } else if (this.#keyframe !== null) {
      throw this.#refused('a keyframe is inside a block');
    }
    this.#block.push(line);
    if (this.#screens !== null && (code === 'o' || code === 'r')) this.#screens.line(line);
  }

  /** A row whose position does not ascend is repeated or was inserted later, so the signing gateway did not check it. */
  #row(line: Uint8Array): void {
    const parsed = parseLine(strict.decode(line.subarray(0, line.length - 1)), 'events');
    if (parsed?.code !== 'e' || !this.#rows.take(parsed.data)) throw this.#refused('a line is not a row, or its position does not ascend');
  }

  #standKeyframe(line: Uint8Array, place: Place): void {
    const { tty } = this.header!.steno;
    if (tty !== true || this.#keyframe !== null) throw this.#refused('a keyframe is in an impossible position');
    this.#keyframe = { value: parseKeyframe(strict.decode(line)), place };
  }

  /** Accepts a keyframe whose line begins block `n`, after the previous block was found good. */
  #passKeyframe({ value, place }: { readonly value: Keyframe; readonly place: Place }): void {
    this.#keyframe = null;
    this.keyframes += 1;
    this.places.push(place);
    if (this.screenFault !== null) return;
    const difference = this.#screens?.keyframe(value) ?? null;
    if (difference === null) return;
    this.screenFault = {
      code: 'VERIFY_ALTERED',
      detail: `the keyframe before block ${this.n} does not match the screen drawn by the preceding lines: ${difference} differs`,
      block: this.n,
    };
  }

  /** `until`: session time of its last line. */
  #closeBlock(until = this.at): void {
    if (this.#block.length === 0) return;
    const content = joined(this.#block);
    this.#block = [];
    this.#head = chainNext(this.#parts.sha256, this.#head, content);
    this.bytes += content.length;
    const { tags, first_block: first } = this.#proof;
    for (let k = 0; k < TAG_BYTES; k++) {
      if (tags[(this.n - first) * TAG_BYTES + k] !== this.#head[k])
        throw new Refused('VERIFY_ALTERED', `block ${this.n} is not what was signed`, this.n);
    }
    this.goodUntil = until;
  }
}

const kernelFact = /^\[[\d.]+,"s",\{"fact":"kernel",[^\n]{0,512}"log":true\}\]\n$/;

function saysLogged(line: Uint8Array): boolean {
  return line.length < 1_024 && kernelFact.test(decoder.decode(line));
}

function joined(lines: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(lines.reduce((sum, line) => sum + line.length, 0));
  let offset = 0;
  for (const line of lines) {
    whole.set(line, offset);
    offset += line.length;
  }
  return whole;
}
