/**
 * The terminal on the page: xterm.js, fitted to its box. What is printed is hostile: links of it are not followed, it sets no
 * title, and nothing of it reaches the clipboard. Tested in test/end-to-end/terminal.test.ts.
 */
import './style-element.js';
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';

export interface ScreenEvents {
  /** Keys, pastes and reports, as bytes for the shell. */
  typed(bytes: Uint8Array): void;
  resized(cols: number, rows: number): void;
}

/** As the replay of a session draws it, in either scheme. */
const theme = {
  background: '#121316',
  foreground: '#dfddd7',
  cursor: '#dfddd7',
  selectionBackground: '#3f5a80',
};
const SCROLLBACK_LINES = 10_000;

export class Screen {
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #observer: ResizeObserver;
  #frame = 0;

  constructor(box: HTMLElement, events: ScreenEvents) {
    const terminal = new Terminal({
      fontFamily: 'ui-monospace, "Cascadia Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Noto Sans Mono", monospace',
      fontSize: 14,
      scrollback: SCROLLBACK_LINES,
      cursorBlink: false,
      theme,
      // Of OSC 8, whose address a program chooses.
      linkHandler: { activate: () => undefined },
    });
    this.#terminal = terminal;
    terminal.loadAddon(this.#fit);
    terminal.open(box);
    const encoder = new TextEncoder();
    terminal.onData((text) => events.typed(encoder.encode(text)));
    // Reports of the mouse, a byte a character.
    terminal.onBinary((text) => events.typed(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    terminal.attachCustomKeyEventHandler((event) => {
      // As in terminals of desktops, since Ctrl+C interrupts. Ctrl+Shift+V is the browser's own.
      if (event.type !== 'keydown' || !event.ctrlKey || !event.shiftKey || event.code !== 'KeyC') return true;
      event.preventDefault();
      void this.copy();
      return false;
    });
    this.#fit.fit();
    terminal.onResize(({ cols, rows }) => events.resized(cols, rows));
    this.#observer = new ResizeObserver(() => {
      cancelAnimationFrame(this.#frame);
      this.#frame = requestAnimationFrame(() => this.#fit.fit());
    });
    this.#observer.observe(box);
  }

  get size(): { readonly cols: number; readonly rows: number } {
    return { cols: this.#terminal.cols, rows: this.#terminal.rows };
  }

  write(bytes: Uint8Array, drawn: () => void): void {
    this.#terminal.write(bytes, drawn);
  }

  focus(): void {
    this.#terminal.focus();
  }

  /** The shell is over: keys go nowhere. */
  freeze(): void {
    this.#terminal.options.disableStdin = true;
    this.#terminal.blur();
  }

  /** The selection. False: nothing is selected, or the browser does not allow it. */
  async copy(): Promise<boolean> {
    const text = this.#terminal.getSelection();
    if (text === '') return false;
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }

  /** In brackets where the program on the terminal asked for them (mode 2004). False: the browser does not allow it. */
  async paste(): Promise<boolean> {
    const text = await navigator.clipboard.readText().catch(() => null);
    if (text === null) return false;
    this.#terminal.paste(text);
    this.#terminal.focus();
    return true;
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#observer.disconnect();
    this.#terminal.dispose();
  }
}
