import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CommandUnit } from '#schemas/api/recordings/commands.js';
import { MAX_COMPARED, compared } from './comparison.js';
import type { ComparedSession } from './comparison.js';

type Typed = readonly [text: string, ...output: readonly string[]];

/** A command each second, its lines right after it. */
function session(...typed: readonly Typed[]): ComparedSession {
  const commands = typed.map(([text], i): CommandUnit => ({
    ...{ at: i * 1_000, until: (i + 1) * 1_000, place: `${i}.0`, prompt: '$', text, known: 'screen', verdict: 'unknown' },
    ...{ ran: [], programs: 0, exit: null, lasted: null },
  }));
  const lines = typed.flatMap(([text, ...output], i) => [
    { place: `${i}.0`, offset: i * 1_000, text: `$ ${text}` },
    ...output.map((line, n) => ({ place: `${i}.${n + 1}`, offset: i * 1_000 + 10 + n, text: line })),
  ]);
  return { commands, lines };
}
const shape = (left: ComparedSession, right: ComparedSession): readonly unknown[] =>
  compared(left, right).map((row) => [row.kind, row.left?.text ?? null, row.right?.text ?? null, row.output]);

test('a session is equal to itself', () => {
  const one = session(['ls', 'a', 'b'], ['id', 'root']);
  expect(shape(one, one)).toEqual([
    ['same', 'ls', 'ls', 'same'],
    ['same', 'id', 'id', 'same'],
  ]);
});

test('commands of only one side appear between common ones; the same program with other arguments is one row', () => {
  expect(
    shape(
      session(['cd /srv'], ['make test', 'ok'], ['exit']),
      session(['cd  /srv'], ['git pull', 'new'], ['make all', 'done'], ['whoami'], ['exit']),
    ),
  ).toEqual([
    ['same', 'cd /srv', 'cd  /srv', 'same'],
    ['right', null, 'git pull', 'one'],
    ['changed', 'make test', 'make all', 'differs'],
    ['right', null, 'whoami', 'one'],
    ['same', 'exit', 'exit', 'same'],
  ]);
});

test('where outputs differ, the differing lines are reported with some lines of context', () => {
  const same = Array.from({ length: 20 }, (_, i) => `line ${i}`);
  const [row] = compared(session(['df', ...same, 'disk 40%', 'end']), session(['df', ...same, 'disk 99%', 'end']));
  expect(row).toMatchObject({ kind: 'same', output: 'differs', more: 0 });
  expect(row!.lines).toEqual([
    { side: 'both', text: 'line 18' },
    { side: 'both', text: 'line 19' },
    { side: 'left', text: 'disk 40%' },
    { side: 'right', text: 'disk 99%' },
    { side: 'both', text: 'end' },
  ]);
});

test('the result is bounded: further lines are counted, long outputs are cut, further commands are left out', () => {
  const long = (word: string): string[] => Array.from({ length: 150 }, (_, i) => `${word} ${i}`);
  const [row] = compared(session(['a', ...long('x')]), session(['a', ...long('y')]));
  expect([row!.lines.length, row!.more]).toEqual([60, 240]);
  const huge = Array.from({ length: 401 }, (_, i) => String(i));
  expect(compared(session(['a', ...huge]), session(['a']))[0]).toMatchObject({ output: 'cut', lines: [] });
  const many = session(...Array.from({ length: MAX_COMPARED + 5 }, (_, i): Typed => [`c${i}`]));
  expect(compared(many, many)).toHaveLength(MAX_COMPARED);
  const all = compared(
    ...([1, 2].map((n) => session(...Array.from({ length: 200 }, (_, i): Typed => [`c${i}`, ...long(`${n}`)]))) as [never, never]),
  );
  expect(all.reduce((sum, { lines }) => sum + lines.length, 0)).toBe(4_000);
});

test('sessions that differ throughout are not aligned for minutes: all of one side comes before all of the other, between a common start and end', () => {
  const side = (name: string): ComparedSession =>
    session(
      ['first'],
      ...Array.from({ length: 900 }, (_, i): Typed => [`${name}${i} x`, ...Array.from({ length: 20 }, (_l, n) => `${name} ${n}`)]),
      ['last'],
    );
  const rows = compared(side('a'), side('b'));
  expect(rows).toHaveLength(1_802);
  expect(rows.filter(({ kind }) => kind === 'same').map(({ left }) => left!.text)).toEqual(['first', 'last']);
  const outputs = (word: string): ComparedSession =>
    session(
      ...Array.from({ length: 900 }, (_, i): Typed => [
        `c${i}`,
        ...Array.from({ length: 400 }, (_l, n) => (n % 2 === 0 ? `${word}${n}` : `${n}`)),
      ]),
    );
  expect(new Set(compared(outputs('x'), outputs('y')).map(({ output }) => output))).toEqual(new Set(['differs', 'cut']));
});

const typed = fc.array(
  fc.tuple(fc.constantFrom('ls', 'ls -l', 'cat a', 'cat b', 'id', 'make'), fc.constantFrom('x', 'y', 'z')).map((both): Typed => both),
  { maxLength: 12 },
);

test('every command of both sides appears once, in order; swapping the sides mirrors the result', () => {
  fc.assert(
    fc.property(typed, typed, (a, b) => {
      const [left, right] = [session(...a), session(...b)];
      const rows = compared(left, right);
      expect(rows.flatMap((row) => row.left?.at ?? [])).toEqual(left.commands.map(({ at }) => at));
      expect(rows.flatMap((row) => row.right?.at ?? [])).toEqual(right.commands.map(({ at }) => at));
      for (const row of rows) {
        if (row.kind === 'same') expect(row.left!.text).toBe(row.right!.text);
        if (row.kind === 'changed') expect(row.left!.text).not.toBe(row.right!.text);
        expect(row.output === 'same' ? row.lines : []).toEqual([]);
      }
      const same = (of: readonly { readonly kind: string }[]): number => of.filter(({ kind }) => kind === 'same').length;
      expect(same(compared(right, left))).toBe(same(rows));
    }),
  );
});
