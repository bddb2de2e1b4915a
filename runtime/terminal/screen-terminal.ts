/**
 * A headless terminal emulator: the contents of the user's screen, as text and as a keyframe.
 *
 * It wraps @xterm/headless, written to synchronously so that its state is a function of the bytes alone. Limits: the public
 * interface has no synchronous write and no access to lines that scroll away, so a few internals are used, named in
 * `Internals` and pinned by recordings/render/screen-index.test.ts. State that a keyframe omits (tab stops, saved cursor,
 * colours of an enormous screen) is lost for the screen index too, since the terminal is restored from each anchor written.
 */
import headless from '@xterm/headless';
import type { IBufferLine, Terminal } from '@xterm/headless';
import serializer from '@xterm/addon-serialize';
import { MAX_LINE_BYTES, encodeLine } from '#schemas/recording/line.js';
import type { Keyframe } from '#schemas/recording/line.js';

interface Internals {
  writeSync(data: string): void;
  readonly _inputHandler: {
    readonly _curAttrData: { readonly fg: number; readonly bg: number };
    readonly _parser: { readonly currentState: number };
    readonly _dirtyRowTracker: { readonly start: number; readonly end: number; clearRange(): void };
    readonly onRequestRefreshRows: (listener: (range: { start: number; end: number } | undefined) => void) => void;
  };
  readonly _bufferService: {
    scroll(eraseAttributes: unknown, isWrapped?: boolean): void;
  };
  readonly _charsetService: { readonly glevel: number; readonly _charsets: readonly (Record<string, string> | undefined)[] };
  readonly coreService: { readonly isCursorHidden: boolean; readonly decPrivateModes: { readonly origin: boolean } };
  readonly buffer: CoreBuffer;
  readonly buffers: { readonly normal: CoreBuffer };
}

interface CoreBuffer {
  readonly x: number;
  readonly y: number;
  readonly ybase: number;
  readonly scrollTop: number;
  readonly scrollBottom: number;
  readonly savedX: number;
  readonly savedY: number;
  readonly tabs: Readonly<Record<string, boolean>>;
  readonly lines: { get(index: number): Pick<IBufferLine, 'isWrapped' | 'translateToString'> | undefined };
}

/** Longest OSC 133 mark that is read: a letter, and for the end of a command its exit code. */
const MAX_MARK = 64;

const encoder = new TextEncoder();
const GROUND = 0;
/** An incomplete escape sequence is kept up to this length, in UTF-16 units. */
const MAX_TAIL = 4096;

export interface TerminalWatcher {
  /** Called before the line at screen row `top` leaves; the rows below it, up to `bottom`, move up by one. */
  scrolls(top: number, bottom: number): void;
  /** Called before something is erased or the screen buffer is switched. */
  erases(): void;
  /** Called after the screen buffer was switched. */
  switched(): void;
  /** Called for an OSC 133 mark, by which a shell marks prompts and commands, such as `B` or `D;0`. Any program can print one. */
  marked(mark: string): void;
}

export class ScreenTerminal {
  readonly #terminal: Terminal;
  readonly #core: Internals;
  readonly #serialize: serializer.SerializeAddon;
  #tail = '';
  #dirtyFrom = Number.POSITIVE_INFINITY;
  #dirtyTo = -1;

  constructor(cols: number, rows: number) {
    this.#terminal = new headless.Terminal({ cols: Math.max(2, cols), rows, scrollback: 0, allowProposedApi: true, logLevel: 'off' });
    this.#core = (this.#terminal as unknown as { readonly _core: Internals })._core;
    this.#serialize = new serializer.SerializeAddon();
    // The addon's types expect the browser's terminal; it uses only members that the headless one has too.
    this.#terminal.loadAddon(this.#serialize as never);
    this.#core._inputHandler.onRequestRefreshRows((range) => this.#mark(range?.start ?? 0, range?.end ?? rows));
  }

  static restore(keyframe: Keyframe): ScreenTerminal {
    const terminal = new ScreenTerminal(keyframe.cols, keyframe.rows);
    terminal.write(keyframe.screen);
    terminal.takeDirty();
    return terminal;
  }

  get cols(): number {
    return this.#terminal.cols;
  }

  get rows(): number {
    return this.#terminal.rows;
  }

  get cursorRow(): number {
    return this.#core.buffer.y;
  }

  /** Text of the cursor's row before the cursor. */
  get textBeforeCursor(): string {
    return this.#line(this.cursorRow, 'active')?.translateToString(false, 0, this.#core.buffer.x) ?? '';
  }

  get alternate(): boolean {
    return this.#terminal.buffer.active.type === 'alternate';
  }

  write(data: string): void {
    this.#core.writeSync(data);
    this.#tail = this.#core._inputHandler._parser.currentState === GROUND ? '' : unfinished(this.#tail + data);
  }

  resize(cols: number, rows: number): void {
    this.#terminal.resize(Math.max(2, cols), rows);
    this.#mark(0, rows - 1);
  }

  /** Text of a row of the buffer; trailing blanks are removed unless the line continues on the next row. */
  text(row: number, buffer: 'active' | 'normal' = 'active'): string {
    return this.#line(row, buffer)?.translateToString(!this.wraps(row + 1, buffer)) ?? '';
  }

  /** Whether the row continues the line of the row above. */
  wraps(row: number, buffer: 'active' | 'normal' = 'active'): boolean {
    return row < this.rows && (this.#line(row, buffer)?.isWrapped ?? false);
  }

  /** Rows that may have changed since the last call, or null. */
  takeDirty(): { readonly from: number; readonly to: number } | null {
    const { _dirtyRowTracker: tracker } = this.#core._inputHandler;
    this.#mark(tracker.start, tracker.end);
    tracker.clearRange();
    const dirty = this.#dirtyTo < 0 ? null : { from: Math.max(0, this.#dirtyFrom), to: Math.min(this.rows - 1, this.#dirtyTo) };
    this.#dirtyFrom = Number.POSITIVE_INFINITY;
    this.#dirtyTo = -1;
    return dirty;
  }

  /** The screen as escape sequences; without colours, or else without text, if the line would be too long. */
  keyframe(anchor: boolean): Keyframe {
    const frame = (screen: string): Keyframe => ({ cols: this.cols, rows: this.rows, screen, ...(anchor ? { anchor: true } : {}) });
    const fits = (keyframe: Keyframe): boolean => fitsLine(encodeLine(0, { code: 'k', data: keyframe }));
    const whole = frame(this.#serialize.serialize({ scrollback: 0 }) + this.#modes() + this.#tail);
    if (fits(whole)) return whole;
    const lines = Array.from({ length: this.rows }, (_, row) => this.text(row).trimEnd());
    const plain = frame((this.alternate ? '\x1b[?1049h' : '') + lines.join('\r\n') + this.#modes() + this.#cursor());
    return fits(plain) ? plain : frame((this.alternate ? '\x1b[?1049h' : '') + this.#modes() + this.#cursor());
  }

  /**
   * Everything visible or affecting later output, by name: equal for terminals that look the same, however their screens
   * were encoded. A cell without text counts by its background alone.
   */
  look(): ReadonlyMap<string, string> {
    const { buffer, buffers, _inputHandler: input } = this.#core;
    const { modes, buffer: shown } = this.#terminal;
    const look = new Map<string, string>();
    for (let row = 0; row < this.rows; row++) look.set(`row ${row}`, `${this.wraps(row) ? '+' : ' '}${this.#cells(row)}`);
    if (this.alternate) for (let row = 0; row < this.rows; row++) look.set(`row ${row} behind`, this.text(row, 'normal').trimEnd());
    look.set('the size', `${this.cols}x${this.rows}`);
    look.set('the cursor', `${buffer.x} ${buffer.y} ${input._curAttrData.fg} ${input._curAttrData.bg}`);
    look.set('the saved cursor', `${buffer.savedX} ${buffer.savedY} ${buffers.normal.savedX} ${buffers.normal.savedY}`);
    look.set('the tab stops', Object.keys(buffer.tabs).join(' '));
    look.set(
      'the modes',
      `${shown.active.type} ${modes.insertMode} ${modes.originMode} ${modes.wraparoundMode} ${modes.reverseWraparoundMode} ${this.#modes()}`,
    );
    look.set('the incomplete sequence', this.#tail);
    return look;
  }

  dispose(): void {
    this.#terminal.dispose();
  }

  #cells(row: number): string {
    const line = this.#terminal.buffer.active.getLine(this.#core.buffer.ybase + row);
    let text = '';
    for (let column = 0; column < this.cols; column++) {
      const cell = line?.getCell(column);
      if (cell === undefined) continue;
      const chars = cell.getChars().trim();
      const background = `${cell.getBgColorMode()}.${cell.getBgColor()}.${cell.isInverse()}`;
      if (chars === '') {
        text += cell.getWidth() === 0 ? '' : cell.getBgColorMode() === 0 && cell.isInverse() === 0 ? ' ' : `{${background}}`;
        continue;
      }
      const flags = [
        cell.isBold(),
        cell.isDim(),
        cell.isItalic(),
        cell.isUnderline(),
        cell.isBlink(),
        cell.isInvisible(),
        cell.isStrikethrough(),
        cell.isOverline(),
      ];
      text += `${chars}{${cell.getFgColorMode()}.${cell.getFgColor()}.${background}${flags.map((flag) => (flag === 0 ? '' : '!')).join('.')}}`;
    }
    return text.trimEnd();
  }

  #line(row: number, buffer: 'active' | 'normal'): Pick<IBufferLine, 'isWrapped' | 'translateToString'> | undefined {
    // The public interface creates two objects for every line requested.
    const shown = buffer === 'active' ? this.#core.buffer : this.#core.buffers.normal;
    return shown.lines.get(shown.ybase + row);
  }

  #mark(from: number, to: number): void {
    this.#dirtyFrom = Math.min(this.#dirtyFrom, from, to);
    this.#dirtyTo = Math.max(this.#dirtyTo, to, from);
  }

  /** State that the addon omits. Setting a scrolling region moves the cursor home, so the cursor is set after it. */
  #modes(): string {
    const { buffer, _charsetService: charsets, coreService } = this.#core;
    const region = buffer.scrollTop !== 0 || buffer.scrollBottom !== this.rows - 1;
    const drawing = charsets._charsets.map((set, i) => (set?.['q'] === '─' ? `\x1b${'()*+'[i] ?? '('}0` : '')).join('');
    return (
      (region ? `\x1b[${buffer.scrollTop + 1};${buffer.scrollBottom + 1}r` : '') +
      (region || coreService.decPrivateModes.origin ? this.#cursor() : '') +
      drawing +
      (charsets.glevel === 1 ? '\x0e' : '') +
      (coreService.isCursorHidden ? '\x1b[?25l' : '')
    );
  }

  #cursor(): string {
    const { buffer, coreService } = this.#core;
    const top = coreService.decPrivateModes.origin ? buffer.scrollTop : 0;
    return `\x1b[${buffer.y - top + 1};${Math.min(buffer.x, this.cols - 1) + 1}H`;
  }

  /** Notifies the watcher from now on. */
  watch(watcher: TerminalWatcher): void {
    const service = this.#core._bufferService;
    const scroll = service.scroll.bind(service);
    service.scroll = (attributes, isWrapped) => {
      watcher.scrolls(this.#core.buffer.scrollTop, this.#core.buffer.scrollBottom);
      scroll(attributes, isWrapped);
    };
    const { parser } = this.#terminal;
    // A handler that returns false leaves the sequence to the terminal.
    const before = (): boolean => {
      watcher.erases();
      return false;
    };
    for (const final of ['J', 'L', 'M', 'S', 'T']) parser.registerCsiHandler({ final }, before);
    parser.registerEscHandler({ final: 'c' }, before);
    parser.registerCsiHandler({ prefix: '?', final: 'h' }, before);
    parser.registerCsiHandler({ prefix: '?', final: 'l' }, before);
    parser.registerOscHandler(133, (data) => {
      watcher.marked(data.slice(0, MAX_MARK));
      return true;
    });
    this.#terminal.buffer.onBufferChange(() => watcher.switched());
  }
}

/** Runs in browsers too, which have no `Buffer`. A UTF-16 unit takes three bytes at most. */
function fitsLine(line: string): boolean {
  return line.length * 3 <= MAX_LINE_BYTES || encoder.encode(line).length <= MAX_LINE_BYTES;
}

/** The text from the start of the sequence that the parser is in: the last ESC or C1 control. */
function unfinished(data: string): string {
  for (let i = data.length - 1; i >= 0; i--) {
    const code = data.charCodeAt(i);
    if (code === 0x1b || (code >= 0x80 && code <= 0x9f)) return data.length - i <= MAX_TAIL ? data.slice(i) : '';
  }
  return '';
}
