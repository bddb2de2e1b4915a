/**
 * The screen index of a session without a terminal: output split at newlines, `row` the number of the line modulo 65536.
 *
 * Standard output and standard error are told apart by the `stream` facts. Control sequences are taken out, so that
 * coloured output is found as text. A line is emitted in the block that ends it, at the time of the `o` line that ends
 * it. State over blocks (line number, unfinished lines) is small, but only known by reading from the start: recovery does.
 * Bounds as in screen-index.ts. Tested in plain-index.test.ts.
 */
import type { RecordingLine } from '#schemas/recording/line.js';
import { MAX_BLOCK_ROWS, MAX_BLOCK_TEXT, MAX_TEXT, isRewrite } from './screen-index.js';
import type { Indexer, SeenBlock, SeenLine } from './screen-index.js';

/** ECMA-48 control strings and sequences, whole ones; then single controls but tab. */
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
    const block = { lines: this.#lines, dropped: this.#dropped };
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
    return this.endBlock();
  }

  #emit(raw: string): void {
    for (let start = 0; start < raw.length; start += MAX_TEXT) this.#show(raw.slice(start, start + MAX_TEXT));
    this.#number = (this.#number + 1) % 65_536;
  }

  /** What a carriage return let be written over counts only where the new text is another one: not for progress bars. */
  #show(raw: string): void {
    const versions = raw.split('\r').map((version) => version.replace(controls, '').trimEnd());
    versions.forEach((version, i) => {
      const next = versions[i + 1] ?? '';
      if (next === '' || !isRewrite(version, next)) this.#keep(version);
    });
  }

  #keep(text: string): void {
    if (text === '' || this.#texts.has(text)) return;
    if (this.#lines.length >= MAX_BLOCK_ROWS || this.#length + text.length > MAX_BLOCK_TEXT) {
      this.#dropped += 1;
      return;
    }
    this.#texts.add(text);
    this.#length += text.length;
    this.#lines.push({ at: this.#now, row: this.#number, text });
  }
}
