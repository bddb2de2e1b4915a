/**
 * Terminal modes of the client (RFC 4254, section 8), as words of stty(1): the terminal of the node begins as the one
 * the user sits at.
 *
 * In three calls, so that a speed or a character which this system lacks does not keep the rest away. Modes that are not
 * named here are left out. Tested in test/agent/login.test.ts.
 */
const characters: Readonly<Record<string, string>> = {
  VINTR: 'intr',
  VQUIT: 'quit',
  VERASE: 'erase',
  VKILL: 'kill',
  VEOF: 'eof',
  VEOL: 'eol',
  VEOL2: 'eol2',
  VSTART: 'start',
  VSTOP: 'stop',
  VSUSP: 'susp',
  VREPRINT: 'rprnt',
  VWERASE: 'werase',
  VLNEXT: 'lnext',
  VDISCARD: 'discard',
};
const flags: ReadonlySet<string> = new Set([
  'IGNPAR',
  'PARMRK',
  'INPCK',
  'ISTRIP',
  'INLCR',
  'IGNCR',
  'ICRNL',
  'IUCLC',
  'IXON',
  'IXANY',
  'IXOFF',
  'IMAXBEL',
  'IUTF8',
  'ISIG',
  'ICANON',
  'ECHO',
  'ECHOE',
  'ECHOK',
  'ECHONL',
  'NOFLSH',
  'TOSTOP',
  'IEXTEN',
  'ECHOCTL',
  'ECHOKE',
  'OPOST',
  'OLCUC',
  'ONLCR',
  'OCRNL',
  'ONOCR',
  'ONLRET',
  'PARENB',
  'PARODD',
]);

export function sttyWords(modes: Readonly<Record<string, number | undefined>>): readonly (readonly string[])[] {
  const [switched, keys, speeds]: [string[], string[], string[]] = [[], [], []];
  for (const [name, value] of Object.entries(modes)) {
    if (value === undefined || !Number.isInteger(value) || value < 0) continue;
    const character = Object.hasOwn(characters, name) ? characters[name] : undefined;
    if (flags.has(name)) switched.push(`${value === 0 ? '-' : ''}${name.toLowerCase()}`);
    else if ((name === 'CS7' || name === 'CS8') && value !== 0) switched.push(name.toLowerCase());
    else if (character !== undefined && value <= 255)
      keys.push(character, value === 255 ? 'undef' : `0x${value.toString(16).padStart(2, '0')}`);
    else if (name === 'TTY_OP_ISPEED' && value <= 4_000_000) speeds.push('ispeed', String(value));
    else if (name === 'TTY_OP_OSPEED' && value <= 4_000_000) speeds.push('ospeed', String(value));
  }
  return [switched, keys, speeds].filter((words) => words.length > 0);
}
