/**
 * Makes recorded output safe to replay on the reader's own terminal.
 *
 * Kept: text, cursor movement, colours, erasing, scrolling, modes of the display. Dropped: everything by which a
 * terminal answers (it would type into the reader's shell) or reaches beyond its screen: OSC (titles, clipboard,
 * links), DCS, APC, PM, SOS, device and status reports, window manipulation, mouse and paste reporting.
 * ECMA-48, xterm control sequences. State survives chunk boundaries; a sequence is at most 4 KiB, then dropped.
 *
 *     text ──ESC──► escape ──[──► csi ──final──► text
 *                      └──] P X ^ _──► string ──BEL or ST──► text
 *
 * Tested in terminal-filter.test.ts, also byte by byte.
 */
type State = 'text' | 'escape' | 'intermediate' | 'csi' | 'string' | 'string-escape';

const MAX_SEQUENCE = 4096;
/** DEC private modes that only change what is drawn: cursor keys excluded, since the reader's shell would see them. */
const displayModes = new Set(['6', '7', '12', '25', '47', '1047', '1048', '1049', '2026']);

export class TerminalFilter {
  #state: State = 'text';
  #sequence = '';

  filter(chunk: string): string {
    let out = '';
    for (const char of chunk) out += this.#take(char);
    return out;
  }

  #take(char: string): string {
    const code = char.codePointAt(0)!;
    switch (this.#state) {
      case 'text':
        if (code === 0x1b) return this.#begin('escape', char);
        // C1 controls: the eight-bit forms of ESC sequences, and nothing that text needs.
        if (code >= 0x80 && code <= 0x9f) {
          if (code === 0x9b) return this.#begin('csi', '\u001b[');
          if ([0x90, 0x98, 0x9d, 0x9e, 0x9f].includes(code)) return this.#begin('string', '');
          return '';
        }
        // ENQ asks for an answer.
        return code === 0x05 ? '' : char;
      case 'escape':
        if (char === '[') return this.#begin('csi', '\u001b[');
        if (']PX^_'.includes(char)) return this.#begin('string', '');
        if (code >= 0x20 && code <= 0x2f) return this.#begin('intermediate', this.#sequence + char);
        // DECID (Z) asks for an answer; everything else of one letter draws.
        return this.#end(code >= 0x30 && code <= 0x7e && char !== 'Z' ? this.#sequence + char : '');
      case 'intermediate':
        if (code >= 0x20 && code <= 0x2f) return this.#grow(char);
        return this.#end(code >= 0x30 && code <= 0x7e ? this.#sequence + char : '');
      case 'csi':
        if (code === 0x1b) return this.#begin('escape', char);
        if (code >= 0x20 && code <= 0x3f) return this.#grow(char);
        return this.#end(code >= 0x40 && code <= 0x7e ? allowedCsi(this.#sequence + char) : '');
      case 'string':
        if (code === 0x07 || code === 0x9c) return this.#end('');
        if (code === 0x1b) this.#state = 'string-escape';
        return '';
      case 'string-escape':
        if (char === '\\') return this.#end('');
        // ESC cancels the string and begins another sequence.
        this.#begin('escape', '\u001b');
        return this.#take(char);
    }
  }

  #begin(state: State, sequence: string): string {
    this.#state = state;
    this.#sequence = sequence;
    return '';
  }

  #grow(char: string): string {
    if (this.#sequence.length < MAX_SEQUENCE) this.#sequence += char;
    return '';
  }

  #end(text: string): string {
    this.#state = 'text';
    this.#sequence = '';
    return text;
  }
}

function allowedCsi(sequence: string): string {
  if (sequence.length >= MAX_SEQUENCE) return '';
  const final = sequence.at(-1)!;
  const body = sequence.slice(2, -1);
  if (final === 'h' || final === 'l') {
    if (!body.startsWith('?')) return body === '4' || body === '20' ? sequence : '';
    const modes = body
      .slice(1)
      .split(';')
      .filter((mode) => displayModes.has(mode));
    return modes.length === 0 ? '' : `\u001b[?${modes.join(';')}${final}`;
  }
  // Drawing: plain parameters only, or the cursor's shape (`SP q`) and soft reset (`!p`).
  if (body.endsWith(' ') && final === 'q') return sequence;
  if (body === '!' && final === 'p') return sequence;
  if (!/^[\d;:]*$/.test(body)) return '';
  return '@ABCDEFGHIJKLMPSTXZ`abdefgmrsu'.includes(final) ? sequence : '';
}
