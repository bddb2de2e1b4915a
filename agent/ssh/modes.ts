/**
 * Terminal modes of the client (RFC 4254, section 8), as words of stty(1): the terminal of the node begins as the one
 * the user sits at.
 *
 *     string  =  (opcode 1-159, uint32)*  [ 0 or an opcode from 160 on: the end, whatever follows ]
 *
 * In three calls of stty, so that a speed or a character which this system lacks does not keep the rest away. Opcodes that
 * are not named here are passed over. A string that is cut off counts as far as it goes: a terminal that begins otherwise is no
 * reason to refuse a session. Tested in modes.test.ts, and round the wire in test/end-to-end/terminal-modes.test.ts.
 */

/** Bytes that are looked at: each mode once is 800. */
const MAX_MODES_BYTES = 4096;
const FIRST_UNDEFINED = 160;

/** Opcodes of RFC 4254 and RFC 8160. What Linux does not have (VSTATUS, VDSUSP, ...) is left out. */
const characters: ReadonlyMap<number, string> = new Map([
  [1, 'intr'],
  [2, 'quit'],
  [3, 'erase'],
  [4, 'kill'],
  [5, 'eof'],
  [6, 'eol'],
  [7, 'eol2'],
  [8, 'start'],
  [9, 'stop'],
  [10, 'susp'],
  [12, 'rprnt'],
  [13, 'werase'],
  [14, 'lnext'],
  [16, 'swtch'],
  [18, 'discard'],
]);
const flags: ReadonlyMap<number, string> = new Map([
  [30, 'ignpar'],
  [31, 'parmrk'],
  [32, 'inpck'],
  [33, 'istrip'],
  [34, 'inlcr'],
  [35, 'igncr'],
  [36, 'icrnl'],
  [37, 'iuclc'],
  [38, 'ixon'],
  [39, 'ixany'],
  [40, 'ixoff'],
  [41, 'imaxbel'],
  [42, 'iutf8'],
  [50, 'isig'],
  [51, 'icanon'],
  [53, 'echo'],
  [54, 'echoe'],
  [55, 'echok'],
  [56, 'echonl'],
  [57, 'noflsh'],
  [58, 'tostop'],
  [59, 'iexten'],
  [60, 'echoctl'],
  [61, 'echoke'],
  [70, 'opost'],
  [71, 'olcuc'],
  [72, 'onlcr'],
  [73, 'ocrnl'],
  [74, 'onocr'],
  [75, 'onlret'],
  [92, 'parenb'],
  [93, 'parodd'],
]);
const sizes: ReadonlyMap<number, string> = new Map([
  [90, 'cs7'],
  [91, 'cs8'],
]);
const speeds: ReadonlyMap<number, string> = new Map([
  [128, 'ispeed'],
  [129, 'ospeed'],
]);
const MAX_SPEED = 4_000_000;
/** node-pty opens terminals with these on, which the kernel, and so sshd, has off until a client says otherwise. */
const KERNEL_DEFAULTS = ['-brkint', '-hupcl', '-imaxbel', '-ixany', '-iutf8'];

/** By opcode; of one that comes twice the last counts. Takes any bytes. */
export function decodeModes(bytes: Uint8Array): ReadonlyMap<number, number> {
  const modes = new Map<number, number>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAX_MODES_BYTES));
  for (let at = 0; at + 5 <= view.byteLength; at += 5) {
    const opcode = view.getUint8(at);
    if (opcode === 0 || opcode >= FIRST_UNDEFINED) break;
    modes.set(opcode, view.getUint32(at + 1));
  }
  return modes;
}

/** At most three lists of words, none of them empty: for a terminal that node-pty has opened. */
export function sttyWords(modes: ReadonlyMap<number, number>): readonly (readonly string[])[] {
  const [switched, keys, rates]: [string[], string[], string[]] = [[...KERNEL_DEFAULTS], [], []];
  for (const [opcode, value] of modes) {
    const flag = flags.get(opcode);
    const character = characters.get(opcode);
    const size = sizes.get(opcode);
    const speed = speeds.get(opcode);
    if (flag !== undefined) switched.push(value === 0 ? `-${flag}` : flag);
    else if (size !== undefined && value !== 0) switched.push(size);
    // 255 stands for a character that is off.
    else if (character !== undefined && value <= 255)
      keys.push(character, value === 255 ? 'undef' : `0x${value.toString(16).padStart(2, '0')}`);
    else if (speed !== undefined && value <= MAX_SPEED) rates.push(speed, String(value));
  }
  return [switched, keys, rates].filter((words) => words.length > 0);
}
