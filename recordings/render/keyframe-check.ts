/**
 * Whether keyframes show what the lines before them draw: what `steno verify` has and a verifier without a terminal lacks.
 *
 * Lines run through the terminal that wrote the keyframes. One that is written as this version writes it is good. Another
 * version of the terminal may have written it otherwise: then both are drawn and what they show is compared. At an anchor
 * the terminal is made anew of the keyframe *as it is written here*, as ingest does (epoch.ts): what a forged one brings
 * along unseen goes no further. Limits: a screen that one version had to write without colours (`ScreenTerminal.keyframe`)
 * and another did not is called different. Tested in keyframe-check.test.ts.
 */
import { parseLine, parseSize } from '#schemas/recording/line.js';
import type { Keyframe, RecordingHeader, RecordingLine } from '#schemas/recording/line.js';
import type { ScreenCheck } from '#schemas/recording/verdict.js';
import { ScreenTerminal } from './terminal.js';

/** Lines wait until a keyframe asks for them: most recordings have none. More than this, in bytes, does not wait. */
const MAX_WAITING = 1 << 20;
const decoder = new TextDecoder('utf-8');

export class KeyframeCheck implements ScreenCheck {
  #terminal: ScreenTerminal;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  constructor({ term }: Pick<RecordingHeader, 'term'>) {
    this.#terminal = new ScreenTerminal(term.cols, term.rows);
  }

  line(line: Uint8Array): void {
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    if (this.#waitingBytes > MAX_WAITING) this.#draw();
  }

  keyframe(keyframe: Keyframe): string | null {
    this.#draw();
    const anchor = keyframe.anchor === true;
    const expected = this.#terminal.keyframe(anchor);
    const same = keyframe.screen === expected.screen && keyframe.cols === expected.cols && keyframe.rows === expected.rows;
    const difference = same ? null : differenceOf(expected, keyframe);
    if (anchor && difference === null) {
      this.#terminal.dispose();
      this.#terminal = ScreenTerminal.restore(expected);
    }
    return difference;
  }

  #draw(): void {
    for (const bytes of this.#waiting) {
      const line = lineOf(bytes);
      if (line?.code === 'o') this.#terminal.write(line.data);
      const size = line?.code === 'r' ? parseSize(line.data) : null;
      if (size !== null) this.#terminal.resize(size.cols, size.rows);
    }
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}

/** Null for what is no line: the verifier has yet to see whether it was signed. */
function lineOf(bytes: Uint8Array): RecordingLine | null {
  try {
    return parseLine(decoder.decode(bytes));
  } catch {
    return null;
  }
}

/** Names the first thing that looks different, or null. */
function differenceOf(expected: Keyframe, found: Keyframe): string | null {
  const [ours, theirs] = [expected, found].map((keyframe) => ScreenTerminal.restore(keyframe));
  try {
    const [here, there] = [ours!.look(), theirs!.look()];
    for (const [what, value] of here) if (there.get(what) !== value) return what;
    return here.size === there.size ? null : 'the size';
  } finally {
    ours!.dispose();
    theirs!.dispose();
  }
}
