/**
 * The screen index of a session with a terminal: each line shown, once, with the time it first appeared.
 *
 * Output is fed to a terminal emulator. After every `o` line the changed rows are compared with their previous text; a line
 * is *pending* from the moment it shows its text until it is emitted:
 *
 *     (new text) ──► pending ──block ends, scrolls away, or is erased──► emitted
 *        moved: keeps its state    │  ▲
 *        rewritten in place by a   └──┘  similar text: only the later one is kept (typing, progress bars)
 *
 * The cursor's line stays pending beyond the end of a block while it is being typed or rewritten in place, so a command line
 * is found whole. Rows are a function of the session's lines alone: at every anchor (epoch.ts) the state is replaced by the
 * anchor's keyframe, and a restart begins there. Limits: at most `MAX_BLOCK_ROWS` rows and `MAX_BLOCK_TEXT` characters per
 * block, the rest is counted in `dropped`; text overwritten in place within one `o` line (10 ms) is not seen; a line is
 * emitted once per block however often it is drawn. An aid for finding the moment; the recording is the proof. Tested in
 * screen-index.test.ts.
 */
import type { Keyframe, RecordingLine } from '#schemas/recording/line.js';
import { parseSize } from '#schemas/recording/line.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';
import type { TerminalWatcher } from '#runtime/terminal/screen-terminal.js';

export const MAX_BLOCK_ROWS = 4096;
export const MAX_BLOCK_TEXT = 262_144;
export const MAX_TEXT = 4096;
/** A shell writes two marks per command; this bounds a program that prints nothing but marks. */
export const MAX_BLOCK_MARKS = 128;
/** Erasures inspected beforehand per block: limits the work for output consisting of nothing else. */
const MAX_BLOCK_ERASURES = 64;

/** If more rows than this change together, after `PAGE_MS`, they count as a new page. */
const MAX_REWRITTEN_ROWS = 3;
const PAGE_MS = 200;
/** A row that shows the same text again within this time in ms was redrawn. */
const REDRAW_MS = 1_000;

export interface SeenLine {
  /** Session time in ms. */
  readonly at: number;
  readonly row: number;
  readonly text: string;
}

/**
 * A shell's OSC 133 mark. `begin`: a command's output begins here; `text` and `prompt` come from the line that it was typed on, '' if
 * that line is unknown. `end`: `exit` is the exit code as the shell wrote it, '' if it wrote none.
 */
export type ShellMark =
  | { readonly mark: 'begin'; readonly at: number; readonly prompt: string; readonly text: string }
  | { readonly mark: 'end'; readonly at: number; readonly exit: string };

export interface SeenBlock {
  readonly lines: readonly SeenLine[];
  /** In order; none without a terminal. */
  readonly marks: readonly ShellMark[];
  /** Lines and marks beyond the limits of a block. */
  readonly dropped: number;
}

/** Common interface of both indexes: takes lines, and returns at the end of each block what was seen in it. */
export interface Indexer {
  line(line: RecordingLine, at: number): void;
  endBlock(): SeenBlock;
  /** Ends the session: returns everything still pending. */
  finish(): SeenBlock;
}

interface Entry {
  readonly text: string;
  readonly at: number;
  readonly row: number;
  seen: boolean;
}

const blank: Entry = { text: '', at: 0, row: 0, seen: true };

export class ScreenIndex implements Indexer, TerminalWatcher {
  readonly #terminal: ScreenTerminal;
  /** Text of each buffer's rows when last inspected; continuation rows of a line are blank. */
  #shown: Entry[];
  #other: Entry[];
  /** Former text of rows that are blank now, and since when. */
  readonly #gone = new Map<number, { readonly text: string; readonly at: number }>();
  #carry = '';
  #now = 0;
  #typed = false;
  #cursorLine = '';
  #erasures = 0;
  #lines: SeenLine[] = [];
  #texts = new Set<string>();
  #length = 0;
  #dropped = 0;
  #marks: ShellMark[] = [];
  /** The text before the cursor at the shell's end-of-prompt mark; null if there was none since the anchor. */
  #prompt: string | null = null;

  /** `keyframe`: an anchor, at session time `at`. Its lines count as seen, except the cursor's line. */
  constructor(size: { readonly cols: number; readonly rows: number }, anchor?: { readonly keyframe: Keyframe; readonly at: number }) {
    this.#shown = [];
    this.#other = [];
    if (anchor === undefined) {
      this.#terminal = new ScreenTerminal(size.cols, size.rows);
      this.#terminal.watch(this);
      this.#shown = this.#blankRows();
      this.#other = this.#blankRows();
      return;
    }
    this.#terminal = ScreenTerminal.restore(anchor.keyframe);
    this.#terminal.watch(this);
    const cursor = this.#headOf(this.#terminal.cursorRow);
    const entries = (buffer: 'active' | 'normal'): Entry[] =>
      this.#blankRows().map((_, row) => {
        if (this.#terminal.wraps(row, buffer)) return blank;
        const text = this.#logical(row, buffer);
        return text === '' ? blank : { text, at: anchor.at, row, seen: buffer !== 'active' || row !== cursor };
      });
    this.#shown = entries('active');
    this.#other = this.#terminal.alternate ? entries('normal') : this.#blankRows();
    this.#reset();
  }

  keyframe(anchor: boolean): Keyframe {
    return this.#terminal.keyframe(anchor);
  }

  dispose(): void {
    this.#terminal.dispose();
  }

  line(line: RecordingLine, at: number): void {
    this.#now = at;
    if (line.code === 'o') {
      this.#terminal.write(line.data);
      this.#look();
    } else if (line.code === 'i') {
      this.#typed = true;
    } else if (line.code === 'r') {
      const size = parseSize(line.data);
      if (size === null) return;
      this.#terminal.resize(size.cols, size.rows);
      for (const rows of [this.#shown, this.#other]) {
        // Rows that fall off a shrinking screen were seen: emit those still pending.
        for (const entry of rows.splice(size.rows)) this.#emitPending(entry);
        while (rows.length < size.rows) rows.push(blank);
      }
      this.#carry = '';
      this.#look();
    }
  }

  endBlock(): SeenBlock {
    const cursor = this.#headOf(this.#terminal.cursorRow);
    for (const rows of [this.#shown, this.#other]) {
      rows.forEach((entry, row) => {
        if (entry.seen) return;
        const rewritten = this.#cursorLine !== '' && this.#cursorLine !== entry.text && isRewrite(this.#cursorLine, entry.text);
        if (rows === this.#shown && row === cursor && (this.#typed || rewritten)) return;
        this.#emitPending(entry);
      });
    }
    return this.#take();
  }

  finish(): SeenBlock {
    for (const rows of [this.#shown, this.#other]) for (const entry of rows) this.#emitPending(entry);
    return this.#take();
  }

  scrolls(top: number, bottom: number): void {
    const text = (this.#carry + this.#terminal.text(top)).slice(0, MAX_TEXT);
    const entry = this.#shown[top] ?? blank;
    if (this.#terminal.wraps(top + 1) && text.length < MAX_TEXT) {
      this.#carry = text;
    } else {
      this.#carry = '';
      const trimmed = text.trimEnd();
      if (entry.text === trimmed) this.#emitPending(entry);
      else {
        if (!entry.seen && !isRewrite(entry.text, trimmed)) this.#emitPending(entry);
        this.#emit(trimmed, this.#now, top);
      }
    }
    this.#shown.splice(top, 1);
    this.#shown.splice(bottom, 0, blank);
  }

  erases(): void {
    if (this.#erasures++ < MAX_BLOCK_ERASURES) this.#look();
  }

  switched(): void {
    [this.#shown, this.#other] = [this.#other, this.#shown];
    this.#carry = '';
    if (this.#terminal.alternate) this.#shown = this.#blankRows();
  }

  marked(mark: string): void {
    const [letter, ...values] = mark.split(';');
    if (letter === 'B') {
      const row = this.#terminal.cursorRow;
      let text = this.#terminal.textBeforeCursor;
      for (let head = row; head > 0 && this.#terminal.wraps(head); head--) text = this.#terminal.text(head - 1) + text;
      this.#prompt = text.slice(-MAX_TEXT).trimEnd();
    } else if (letter === 'C') this.#mark({ mark: 'begin', at: this.#now, ...this.#typedLine() });
    else if (letter === 'D') this.#mark({ mark: 'end', at: this.#now, exit: /^\d{1,9}$/.test(values[0] ?? '') ? values[0]! : '' });
  }

  #mark(mark: ShellMark): void {
    if (this.#marks.length < MAX_BLOCK_MARKS) this.#marks.push(mark);
    else this.#dropped += 1;
  }

  /** Returns the nearest line above the cursor that begins with the prompt, and forgets the prompt: the next command has its own. */
  #typedLine(): { readonly prompt: string; readonly text: string } {
    const prompt = this.#prompt;
    this.#prompt = null;
    if (prompt === null || prompt === '') return { prompt: '', text: '' };
    for (let row = this.#headOf(this.#terminal.cursorRow); row >= 0; row = this.#headOf(row - 1)) {
      const line = this.#logical(row, 'active');
      if (line.startsWith(prompt)) return { prompt, text: line.slice(prompt.length).trim() };
      if (row === 0) break;
    }
    return { prompt, text: '' };
  }

  /** Compares changed rows with their previous text. */
  #look(): void {
    const dirty = this.#terminal.takeDirty();
    if (dirty === null) return;
    const before = this.#shown;
    let from = this.#headOf(dirty.from);
    // A row that no longer continues the line above makes that line shorter.
    if (from > 0 && before[from] === blank) from = this.#headOf(from - 1);
    const texts = new Map<number, string>();
    for (let row = from; row < before.length; row++) {
      if (row > dirty.to && !this.#terminal.wraps(row)) break;
      const text = this.#terminal.wraps(row) ? '' : this.#logical(row, 'active');
      if (text !== before[row]!.text) texts.set(row, text);
    }
    if (texts.size === 0) return;
    // Text that left one row and appears in another has moved; text that is still in the other row was printed again.
    const left = new Map<string, Entry>();
    for (const row of texts.keys()) left.set(before[row]!.text, before[row]!);
    const changed = new Map<number, Entry>();
    for (const [row, text] of texts) {
      const moved = left.get(text);
      left.delete(text);
      changed.set(row, text === '' ? blank : (moved ?? { text, at: this.#now, row, seen: this.#drawnAgain(row, text) }));
      if (text === '') this.#gone.set(row, { text: before[row]!.text, at: this.#now });
    }
    const after = before.slice();
    for (const [row, entry] of changed) after[row] = entry;
    const kept = new Set(after);
    for (const [row, entry] of changed) {
      const old = before[row]!;
      if (old.seen || kept.has(old)) continue;
      // Many rows at once are a new page, not a line being edited; the old text, similar or not, was readable.
      const page = changed.size > MAX_REWRITTEN_ROWS && this.#now - old.at >= PAGE_MS;
      if (page || !isRewrite(old.text, entry.text)) this.#emitPending(old);
    }
    this.#shown = after;
  }

  /** Programs that clear the screen and draw the same text show nothing new. */
  #drawnAgain(row: number, text: string): boolean {
    const gone = this.#gone.get(row);
    return gone?.text === text && this.#now - gone.at <= REDRAW_MS;
  }

  #logical(row: number, buffer: 'active' | 'normal'): string {
    let text = (row === 0 && buffer === 'active' ? this.#carry : '') + this.#terminal.text(row, buffer);
    for (let next = row + 1; this.#terminal.wraps(next, buffer) && text.length < MAX_TEXT; next++)
      text += this.#terminal.text(next, buffer);
    return text.slice(0, MAX_TEXT).trimEnd();
  }

  #headOf(row: number): number {
    let head = row;
    while (head > 0 && this.#terminal.wraps(head)) head--;
    return head;
  }

  #blankRows(): Entry[] {
    return new Array<Entry>(this.#terminal.rows).fill(blank);
  }

  #emitPending(entry: Entry): void {
    if (entry.seen) return;
    entry.seen = true;
    this.#emit(entry.text, entry.at, entry.row);
  }

  #emit(text: string, at: number, row: number): void {
    if (text === '' || this.#texts.has(text)) return;
    if (this.#lines.length >= MAX_BLOCK_ROWS || this.#length + text.length > MAX_BLOCK_TEXT) {
      this.#dropped += 1;
      return;
    }
    this.#texts.add(text);
    this.#length += text.length;
    this.#lines.push({ at, row, text });
  }

  #take(): SeenBlock {
    const block = { lines: this.#lines, marks: this.#marks, dropped: this.#dropped };
    this.#reset();
    return block;
  }

  #reset(): void {
    this.#lines = [];
    this.#marks = [];
    this.#texts = new Set();
    this.#length = 0;
    this.#dropped = 0;
    this.#erasures = 0;
    this.#typed = false;
    this.#cursorLine = this.#logical(this.#headOf(this.#terminal.cursorRow), 'active');
  }
}

/**
 * Whether `next` extends `old` or is at least half the same, compared by ends, by positions or by words: typing,
 * corrections, a progress bar.
 */
export function isRewrite(old: string, next: string): boolean {
  if (next.startsWith(old)) return true;
  const shorter = Math.min(old.length, next.length);
  const longer = Math.max(old.length, next.length);
  let head = 0;
  while (head < shorter && old.charCodeAt(head) === next.charCodeAt(head)) head++;
  let tail = 0;
  while (tail < shorter - head && old.charCodeAt(old.length - 1 - tail) === next.charCodeAt(next.length - 1 - tail)) tail++;
  if ((head + tail) * 2 >= longer) return true;
  let places = 0;
  for (let i = 0; i < shorter; i++) if (old.charCodeAt(i) === next.charCodeAt(i)) places++;
  if (places * 2 >= longer) return true;
  const words = new Set(old.match(wordPattern));
  const others = new Set(next.match(wordPattern));
  let shared = 0;
  for (const word of words) if (others.has(word)) shared++;
  return shared > 0 && shared * 2 >= Math.max(words.size, others.size);
}
const wordPattern = /\p{L}{2,}/gu;
