/**
 * Puts options into one order: combined single-letter options are split (`-la` is `-a -l`) and sorted, with operands after them in
 * their original order. Only for programs that take options in any order and whose options with arguments are listed. Tested in
 * normal-form.test.ts.
 */

/** Letters of options that take an argument. */
const known: Readonly<Record<string, string>> = {
  ls: 'ITw', rm: '', cp: 'tS', mv: 'tS', mkdir: 'm', rmdir: '', chmod: '', chown: '', cat: '', head: 'nc', tail: 'ncs', wc: '', sort: 'kotST',
  uniq: 'fsw', cut: 'bcdf', grep: 'efmABC', egrep: 'efmABC', fgrep: 'efmABC', base64: 'w', uname: '', id: '', who: '', w: '', last: 'nf', df: 'tx',
  du: 'd', free: 'sc', ps: 'opUuGgtCN', netstat: 'A', ss: 'fA', lsof: 'iup', nc: 'ecpswqXxIiOPTVmD', ncat: 'ecpswig', curl: 'oduHXAebxmkFTUwCyYzKcDE',
  wget: 'OoaiUPtTQe', ssh: 'bcDEeFIiJLlmOopQRSWw', scp: 'cFiJloPSD', rsync: 'efT', useradd: 'bcdefgGkKpsu', usermod: 'cdefgGlpsu', gcc: 'oIlLDx',
  touch: 'drt', ln: 'tS', stat: 'fc', file: 'fm', xxd: 'clsog', readlink: '', kill: '', pkill: 'uUgGPst', pgrep: 'uUgGPst', systemctl: 'tpnoH',
}; // prettier-ignore

export function orderedOptions(program: string, words: readonly string[]): readonly string[] {
  const withArgument = Object.hasOwn(known, program) ? known[program] : undefined;
  if (withArgument === undefined) return words;
  const options: string[] = [];
  const operands: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (word === '--') {
      operands.push(...words.slice(at + 1));
      break;
    }
    if (word.startsWith('--') || !/^-[A-Za-z0-9]/.test(word)) {
      (word.startsWith('--') ? options : operands).push(word);
      continue;
    }
    for (let letter = 1; letter < word.length; letter += 1) {
      if (!withArgument.includes(word[letter]!)) {
        options.push(`-${word[letter]!}`);
        continue;
      }
      const attached = word.slice(letter + 1);
      options.push(`-${word[letter]!} ${attached !== '' ? attached : (words[(at += 1)] ?? '')}`.trimEnd());
      break;
    }
  }
  return [...options.sort(), ...operands];
}
