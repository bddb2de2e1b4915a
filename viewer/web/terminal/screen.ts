/**
 * The terminal on the page: xterm.js, fitted to its box. Output is hostile: its links are not followed, it cannot set a title, and it
 * cannot reach the clipboard. Tested in test/end-to-end/terminal.test.ts.
 */
import './style-element.js';
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';

export interface ScreenEvents {
  /** Keys, pastes and terminal reports, as bytes for the shell. */
  typed(bytes: Uint8Array): void;
  resized(cols: number, rows: number): void;
}

/** The same colours as in the replay of a session, in either scheme. */
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
      // OSC 8 links, whose address a program chooses, are not opened.
      linkHandler: { activate: () => undefined },
    });
    this.#terminal = terminal;
    terminal.loadAddon(this.#fit);
    terminal.open(box);
    const encoder = new TextEncoder();
    terminal.onData((text) => events.typed(encoder.encode(text)));
    // Mouse reports, one byte per character.
    terminal.onBinary((text) => events.typed(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    terminal.attachCustomKeyEventHandler((event) => {
      // Ctrl+Shift+C copies, as in desktop terminals, since Ctrl+C interrupts. Ctrl+Shift+V is the browser's own.
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

  /** The shell has ended: keys are ignored. */
  freeze(): void {
    this.#terminal.options.disableStdin = true;
    this.#terminal.blur();
  }

  /** Copies the selection. False: nothing is selected, or the browser does not allow it. */
  async copy(): Promise<boolean> {
    const text = this.#terminal.getSelection();
    if (text === '') return false;
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }

  /** Pastes, in brackets if the program asked for them (mode 2004). False: the browser does not allow it. */
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
