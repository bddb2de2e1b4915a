/**
 * Whether a password withstands guessing: at least twelve characters, and enough left after discounting what attackers try
 * first. Common words, the user's own name, keyboard rows, sequences and repetitions count as one step each, also with the
 * usual digits for letters. An aid against the worst passwords, not a measure of strength. Tested in users.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';

const MIN_PASSWORD = 12;
/** Steps that must remain. */
const MIN_STEPS = 8;

/** Fragments common in lists of leaked passwords. */
const common = (
  'password passwort passwd pass secret letmein welcome admin administrator root user login master access changeme change default guest test ' +
  'testing temp hello monkey dragon shadow sunshine princess football baseball basketball hockey soccer superman batman spiderman pokemon ' +
  'starwars trustno freedom whatever iloveyou love lovely forever angel baby charlie michael jordan jessica daniel thomas robert andrew ' +
  'ashley george matthew computer internet server system security cisco oracle postgres mysql linux ubuntu debian windows google facebook ' +
  'summer winter spring autumn january february march april june july august september october november december monday friday sunday ' +
  'company office london berlin paris america orange purple yellow silver golden cheese coffee banana cookie flower ginger pepper summer ' +
  'steno qwerty qwertz azerty asdf zxcv qazwsx abc'
)
  .split(' ')
  .sort((a, b) => b.length - a.length);

const rows = [
  'qwertyuiop',
  'qwertzuiop',
  'azertyuiop',
  'asdfghjkl',
  'zxcvbnm',
  'yxcvbnm',
  '1qaz2wsx3edc4rfv',
  '1q2w3e4r5t6y',
  'abcdefghijklmnopqrstuvwxyz',
  '01234567890',
];
const straight = [...rows, ...rows.map((row) => [...row].reverse().join(''))];
const substitutes: Readonly<Record<string, string>> = {
  '0': 'o',
  '1': 'i',
  '3': 'e',
  '4': 'a',
  '5': 's',
  '7': 't',
  '@': 'a',
  $: 's',
  '!': 'i',
};

/** Throws PASSWORD_WEAK. */
export function checkStrength(password: string, user: string): void {
  const characters = [...password.normalize('NFKC')];
  if (characters.length < MIN_PASSWORD) throw new StenoError('PASSWORD_WEAK', `it has ${characters.length} characters`);
  if (steps(characters.join('').toLowerCase(), user.toLowerCase()) < MIN_STEPS)
    throw new StenoError('PASSWORD_WEAK', 'it consists of what attackers try first');
}

/** Number of choices in the text, where a word, a run or a repetition is one. */
function steps(text: string, user: string): number {
  const plain = [...text].map((c) => substitutes[c] ?? c).join('');
  const words = [...common, ...user.split(/[^a-z0-9]+/).filter((part) => part.length >= 3)];
  const seen = new Set<string>();
  let count = 0;
  for (let i = 0; i < text.length;) {
    const word = words.find((candidate) => text.startsWith(candidate, i) || plain.startsWith(candidate, i));
    const length = Math.max(word?.length ?? 0, runAt(text, i), repeatAt(text, i), 1);
    const step = length === 1 ? `${text[i]}` : text.slice(i, i + length);
    if (length === 1 || !seen.has(step)) count += 1;
    seen.add(step);
    i += length;
  }
  return count;
}

/** Length of a run along a keyboard row or sequence, three or more. */
function runAt(text: string, at: number): number {
  let longest = 0;
  for (const row of straight) {
    let length = 2;
    while (at + length < text.length && row.includes(text.slice(at, at + length + 1))) length += 1;
    if (length >= 3 && row.includes(text.slice(at, at + length))) longest = Math.max(longest, length);
  }
  return longest;
}

/** Length of text that repeats what immediately precedes it (`aaa`, `abcabc`). */
function repeatAt(text: string, at: number): number {
  for (let length = Math.floor(at); length >= 1; length -= 1) {
    if (length > 1 ? text.slice(at - length, at) === text.slice(at, at + length) : text[at - 1] === text[at] && text[at] === text[at + 1])
      return length > 1 ? length : 2;
  }
  return 0;
}
