/**
 * Checks that keyframes show the screen drawn by the preceding lines. `steno verify` does this; a verifier without a
 * terminal emulator cannot.
 *
 * The lines are fed to the terminal emulator that writes keyframes. A keyframe identical to the one written by this version
 * is good. Another version may have written it differently: then both are drawn and compared by appearance. At an anchor the
 * terminal is rebuilt from the keyframe *as written here*, as ingest does (epoch.ts), so hidden state in a forged keyframe
 * does not propagate. Limits: a screen that only one of two versions had to write without colours
 * (`ScreenTerminal.keyframe`) counts as different. Tested in keyframe-check.test.ts.
 */
import { parseLine, parseSize } from '#schemas/recording/line.js';
import type { Keyframe, RecordingHeader, RecordingLine } from '#schemas/recording/line.js';
import type { ScreenCheck } from '#schemas/recording/verdict.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';

/** Lines are buffered until a keyframe needs them, since most recordings have none; up to this many bytes. */
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

/** Null if it is not a line: the verifier has yet to check whether it was signed. */
function lineOf(bytes: Uint8Array): RecordingLine | null {
  try {
    return parseLine(decoder.decode(bytes));
  } catch {
    return null;
  }
}

/** Names the first visible difference, or null. */
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
