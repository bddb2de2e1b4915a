import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShellReader, ansi, limits } from './shell-words.js';

const words = (line: string): readonly (readonly string[])[] => new ShellReader(line).commands.map((command) => command.words);

describe('words of a shell', () => {
  it.each<[string, readonly (readonly string[])[]]>([
    [`c'u'"r"\\l -s x`, [['curl', '-s', 'x']]],
    [`$'\\x63url' x`, [['curl', 'x']]],
    ['cat${IFS}/etc/passwd', [['cat', '/etc/passwd']]],
    ['a=cu;b=rl;$a$b x', [[], [], ['curl', 'x']]],
    ['wh$@oami', [['whoami']]],
    ['{curl,-s,x}', [['curl', '-s', 'x']]],
    ['if true; then rm x; fi', [['true'], ['rm', 'x'], []].filter((one) => one.length > 0)],
    ['a | b && c || d & e; f', [['a'], ['b'], ['c'], ['d'], ['e'], ['f']]],
    ['x # y', [['x']]],
    ['echo "${HOME:-/root}" ${x:-y z}', [['echo', '/root', 'y', 'z']]],
    ["echo 'open", [['echo', 'open']]],
  ])('%s', (line, expected) => {
    expect(words(line)).toEqual(expected);
  });

  it('redirections and here-documents are no words', () => {
    const [first, second] = new ShellReader('cat >/x 2>&1 <<E\none\nE\nsh <<< ls').commands;
    expect(first).toMatchObject({
      words: ['cat'],
      redirects: [
        { operator: '>', target: '/x' },
        { operator: '>&', target: '1' },
        { operator: '<<', target: 'one' },
      ],
    });
    expect(second).toMatchObject({ words: ['sh'], redirects: [{ operator: '<<<', target: 'ls' }] });
  });

  it('escapes are those of bash', () => {
    expect(ansi('\\x41\\101\\u0041\\n\\q')).toBe('AAA\n\\q');
  });

  it('reads any text, within its limits', () => {
    const piece = fc.constantFrom(...`ab '"\\$\`(){}<>|&;\n#=*~,!`, '$(', '<<', '${', 'a=', '$a', '${a}', "$'", '\u0001');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const { commands } = new ShellReader(pieces.join(''));
        expect(commands.length).toBeLessThanOrEqual(limits.commands + 1);
        for (const command of commands) for (const word of command.words) expect(word.length).toBeLessThanOrEqual(limits.word + 1_100);
      }),
      { numRuns: 2_000 },
    );
  });

  it('a variable that doubles itself does not grow without end', () => {
    const bomb = `a=${'x'.repeat(100)};${'a=$a$a$a$a;'.repeat(40)}echo $a`;
    const { commands } = new ShellReader(bomb);
    expect(Math.max(...commands.flatMap((command) => command.assignments.map(([, value]) => value.length)))).toBeLessThan(
      4 * limits.word + 1,
    );
  });
});
