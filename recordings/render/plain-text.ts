/**
 * A recording as plain text: everything that scrolled over the screen, rendered by a terminal emulator, so that erased or
 * overwritten text disappears and no control character gets out. Full-screen programs leave what they leave on a real
 * terminal: nothing. Memory: one emulator with `SCROLLBACK` lines. Tested in viewer/api/export/export.test.ts.
 */
import xterm from '@xterm/headless';
import { isSize, parseLine, parseSize, peekLine } from '#schemas/recording/line.js';

const SCROLLBACK = 6_000;
/** A chunk can produce at most as many lines as the scrollback holds. */
const CHUNK = 4_096;
const NEWLINE = 0x0a;
const OPEN_BRACE = 0x7b;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8');

export async function* renderText(
  lines: AsyncIterable<Uint8Array>,
  size: { readonly cols: number; readonly rows: number; readonly tty: boolean },
): AsyncGenerator<Uint8Array, void> {
  const terminal = new xterm.Terminal({
    cols: isSize(size.cols) ? size.cols : 80,
    rows: isSize(size.rows) ? size.rows : 24,
    scrollback: SCROLLBACK,
    allowProposedApi: true,
    convertEol: !size.tty,
  });
  const write = (text: string): Promise<void> => new Promise((resolve) => terminal.write(text, resolve));
  const normal = terminal.buffer.normal;
  // Tracks the first line not yet emitted, even if the scrollback drops lines.
  let mark = terminal.registerMarker(0);
  const take = (until: number): string => {
    const from = mark === undefined || mark.line < 0 ? 0 : mark.line;
    // A taller screen takes back lines from the scrollback that were already emitted.
    if (until <= from) return '';
    const whole: string[] = [];
    for (let i = from; i < until; i++) {
      const line = normal.getLine(i);
      if (line === undefined) break;
      const text = line.translateToString(!(normal.getLine(i + 1)?.isWrapped ?? false));
      if (line.isWrapped && whole.length > 0) whole[whole.length - 1] += text;
      else whole.push(text);
    }
    mark?.dispose();
    mark = terminal.registerMarker(until - normal.baseY - normal.cursorY);
    return whole.map((text) => `${text}\n`).join('');
  };
  /** Lines that have left the screen for good, as whole logical lines. */
  const scrolled = (): string => {
    if (terminal.buffer.active.type !== 'normal') return '';
    let until = normal.baseY;
    while (until > 0 && normal.getLine(until)?.isWrapped === true) until -= 1;
    return take(until);
  };
  try {
    for await (const chunk of lines) {
      let output = '';
      for (let start = 0; start < chunk.length;) {
        const end = chunk.indexOf(NEWLINE, start);
        const wanted =
          chunk[start] !== OPEN_BRACE && /[or]/.test(peekLine(decoder.decode(chunk.subarray(start, Math.min(end, start + 64)))).code);
        const line = wanted ? parseLine(decoder.decode(chunk.subarray(start, end))) : null;
        start = end + 1;
        if (line?.code === 'r') {
          await write(output);
          output = '';
          const resized = parseSize(line.data);
          if (resized !== null) terminal.resize(resized.cols, resized.rows);
        } else if (line?.code === 'o') {
          output += line.data;
        }
        while (output.length >= CHUNK) {
          await write(output.slice(0, CHUNK));
          output = output.slice(CHUNK);
          const text = scrolled();
          if (text !== '') yield encoder.encode(text);
        }
      }
      await write(output);
      const text = scrolled();
      if (text !== '') yield encoder.encode(text);
    }
    yield encoder.encode(`${take(normal.length).trimEnd()}\n`);
  } finally {
    terminal.dispose();
  }
}
