/**
 * The screen index of a session without a terminal: output split at newlines; `row` is the line number modulo 65536.
 *
 * The `stream` facts distinguish standard output from standard error. Control sequences are removed, so that coloured output
 * is found as text. A line is emitted in the block that ends it, with the time of the `o` line that ends it. State carried
 * over blocks (line number, unfinished lines) is small but known only by reading from the start, as recovery does. Limits as
 * in screen-index.ts. After `FULL_TEXT` characters a session is indexed sparsely: only the first and last `THIN_LINES` lines
 * of each block. A block of bulk output has 64 KiB, a block of interactive work lasts a second, so output at human pace is
 * indexed in full even then. Tested in plain-index.test.ts.
 */
import type { RecordingLine } from '#schemas/recording/line.js';
import { MAX_BLOCK_ROWS, MAX_BLOCK_TEXT, MAX_TEXT, isRewrite } from './screen-index.js';
import type { Indexer, SeenBlock, SeenLine } from './screen-index.js';

/** Characters of a session indexed line by line. */
export const FULL_TEXT = 8 << 20;
export const THIN_LINES = 32;
/** Skipping this many lines is reported as an event. */
const REPORTED_LINES = 100_000;

interface Raw {
  readonly raw: string;
  readonly at: number;
  readonly number: number;
}

/** Complete ECMA-48 control strings and sequences, then single control characters except tab. */
const controls = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

export class PlainIndex implements Indexer {
  readonly #unfinished = { stdout: '', stderr: '' };
  #stream: 'stdout' | 'stderr' = 'stdout';
  #number = 0;
  #now = 0;
  #lines: SeenLine[] = [];
  #texts = new Set<string>();
  #length = 0;
  #dropped = 0;
  /** Characters indexed so far. */
  #indexed = 0;
  /** While sparse: the last lines of the block, and the number of lines seen. */
  #last: Raw[] = [];
  #looked = 0;
  #thinned = 0;

  line(line: RecordingLine, at: number): void {
    this.#now = at;
    if (line.code === 's' && line.data.fact === 'stream') this.#stream = line.data.name;
    if (line.code !== 'o') return;
    let start = 0;
    for (let end = line.data.indexOf('\n'); end >= 0; end = line.data.indexOf('\n', start)) {
      this.#emit(this.#unfinished[this.#stream] + line.data.slice(start, end));
      this.#unfinished[this.#stream] = '';
      start = end + 1;
    }
    const rest = this.#unfinished[this.#stream] + line.data.slice(start);
    const whole = rest.length - (rest.length % MAX_TEXT);
    for (let i = 0; i < whole; i += MAX_TEXT) this.#show(rest.slice(i, i + MAX_TEXT));
    this.#unfinished[this.#stream] = rest.slice(whole);
  }

  endBlock(): SeenBlock {
    for (const { raw, at, number } of this.#last.splice(0)) this.#take(raw, at, number);
    const reported = this.#thinned >= REPORTED_LINES ? this.#thinned : 0;
    this.#thinned -= reported;
    const block = { lines: this.#lines, marks: [], dropped: this.#dropped + reported };
    this.#looked = 0;
    this.#lines = [];
    this.#texts = new Set();
    this.#length = 0;
    this.#dropped = 0;
    return block;
  }

  finish(): SeenBlock {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#unfinished[stream] !== '') this.#emit(this.#unfinished[stream]);
      this.#unfinished[stream] = '';
    }
    const { lines, dropped } = this.endBlock();
    return { lines, marks: [], dropped: dropped + this.#thinned };
  }

  #emit(raw: string): void {
    for (let start = 0; start < raw.length; start += MAX_TEXT) this.#show(raw.slice(start, start + MAX_TEXT));
    this.#number = (this.#number + 1) % 65_536;
  }

  #show(raw: string): void {
    if (this.#indexed <= FULL_TEXT || this.#looked++ < THIN_LINES) return this.#take(raw, this.#now, this.#number);
    this.#last.push({ raw, at: this.#now, number: this.#number });
    if (this.#last.length <= THIN_LINES) return;
    this.#last.shift();
    this.#thinned += 1;
  }

  /** Text overwritten after a carriage return is kept only if the new text is unrelated: progress bars are not. */
  #take(raw: string, at: number, row: number): void {
    const versions = raw.split('\r').map((version) => version.replace(controls, '').trimEnd());
    versions.forEach((version, i) => {
      const next = versions[i + 1] ?? '';
      if (next === '' || !isRewrite(version, next)) this.#keep(version, at, row);
    });
  }

  #keep(text: string, at: number, row: number): void {
    if (text === '' || this.#texts.has(text)) return;
    if (this.#lines.length >= MAX_BLOCK_ROWS || this.#length + text.length > MAX_BLOCK_TEXT) {
      this.#dropped += 1;
      return;
    }
    this.#texts.add(text);
    this.#length += text.length;
    this.#indexed += text.length;
    this.#lines.push({ at, row, text });
  }
}
