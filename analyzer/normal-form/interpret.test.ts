import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { printed, revealed } from './decoding.js';
import { interpret } from './interpret.js';
import { wrapped } from './wrappers.js';

const programs = (line: string): readonly string[] => interpret(line).map(({ argv }) => argv.join(' '));

describe('what a line starts', () => {
  it('names who starts whom', () => {
    const executions = interpret('sudo -u ann find . -exec cat {} +');
    expect(executions.map(({ program, parent }) => [program, parent])).toEqual([
      ['sudo', -1],
      ['find', 0],
      ['cat', 1],
    ]);
  });

  it('says which names are hidden', () => {
    expect(interpret('a=cu;b=rl;$a$b x; ls').map(({ program, hidden }) => [program, hidden])).toEqual([
      ['', false],
      ['', false],
      ['curl', true],
      ['ls', false],
    ]);
  });

  it('reads scripts that are packed', () => {
    const packed = gzipSync('cat /etc/shadow').toString('base64');
    expect(programs(`echo ${packed} | base64 -d | gunzip | sh`).at(-1)).toBe('cat /etc/shadow');
  });

  it('takes escapes of editors and pagers for programs', () => {
    expect(interpret('less /etc/hosts\n!/bin/sh').map(({ program, parent }) => [program, parent])).toEqual([
      ['less', -1],
      ['sh', 0],
    ]);
  });
});

describe('programs that run others', () => {
  it.each<[readonly string[], readonly string[] | null]>([
    [['sudo', '-u', 'root', 'A=b', 'id'], ['id']],
    [
      ['env', '-i', 'A=b', 'id', '-u'],
      ['id', '-u'],
    ],
    [['timeout', '-k', '1', '5', 'id'], ['id']],
    [['nice', '-n', '5', 'id'], ['id']],
    [['command', '-v', 'id'], null],
    [['sudo', '-l'], null],
    [['find', '.', '-name', 'x'], null],
    [['find', '.', '-exec', 'id', ';', '-print'], ['id']],
    [['cat', 'id'], null],
  ])('%j', (argv, expected) => {
    expect(wrapped(argv[0]!, argv)).toEqual(expected);
  });
});

describe('what is printed', () => {
  it.each<[string, readonly string[], string | undefined, string | undefined]>([
    ['echo', ['-ne', 'a\\x62'], undefined, 'ab'],
    ['printf', ['%s-%s;', 'a', 'b'], undefined, 'a-b;'],
    ['tr', ['a-z', 'b-za'], 'gd', 'he'],
    ['tr', ['-d', 'x'], 'lxs', 'ls'],
    ['sed', ['s/Q//g'], 'lQs', 'ls'],
    ['base32', ['-d'], 'NRZQ====', 'ls'],
    ['cat', ['/etc/hosts'], undefined, undefined],
    ['cat', [], 'x', 'x'],
    ['base64', ['-d', '/x'], undefined, undefined],
  ])('%s %j', (program, args, input, expected) => {
    expect(printed(program, args, input)).toBe(expected);
  });

  it('is found in the code of other languages', () => {
    const script = 'import socket,subprocess,os';
    const codes = [
      `exec(base64.b64decode("${Buffer.from(script).toString('base64')}"))`,
      `exec(bytes.fromhex("${Buffer.from(script).toString('hex')}"))`,
      `exec("${[...script].map((c) => `\\x${c.charCodeAt(0).toString(16)}`).join('')}")`,
      `exec("${[...script].reverse().join('')}"[::-1])`,
      `exec("".join(map(chr,[${[...script].map((c) => c.charCodeAt(0)).join(',')}])))`,
      `exec("import soc"+"ket,subpro"+"cess,os")`,
    ];
    for (const code of codes)
      expect(
        revealed(code).some((text) => text.includes(script)),
        code,
      ).toBe(true);
  });
});
