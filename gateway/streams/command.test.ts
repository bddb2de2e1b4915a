import { describe, expect, test } from 'vitest';
import { parseCommand, shellWords } from './command.js';
import { observeStream } from './protocols.js';

describe('words of a command line', () => {
  test.each([
    ["scp -t '/a b/c'", ['scp', '-t', '/a b/c']],
    ['a "b \\" $c" d\\ e', ['a', 'b " $c', 'd e']],
    ["it'\\''s", null],
    ["'it'\\''s' ''", ["it's", '']],
    ['a # b', ['a']],
    ['a#b', ['a#b']],
    ['rm ~/*.c $HOME', ['rm', '~/*.c', '$HOME']],
    ['a; b', null],
    ['a | b', null],
    ['a && b', null],
    ['a > b', null],
    ['a `b`', null],
    ['a $(b)', null],
    ['a "$(b)"', null],
    ['a\nb', null],
    ['a "b', null],
    ['a \\', null],
    ['x'.repeat(70_000), null],
  ])('%s', (line, words) => expect(shellWords(line)).toEqual(words));

  test.each([
    ['/usr/bin/rsync --server . x', 'rsync', ['--server', '.', 'x']],
    ['sudo -u root -n rsync --server . x', 'rsync', ['--server', '.', 'x']],
    ['LC_ALL=C env -i A=b nice -n 5 scp -t x', 'scp', ['-t', 'x']],
    ["git upload-pack '/r.git'", 'git-upload-pack', ['/r.git']],
    ["git-upload-pack '/r.git'", 'git-upload-pack', ['/r.git']],
  ])('the program of %s', (line, program, args) => expect(parseCommand(line)).toEqual({ program, args }));
});

describe('which streams are observed', () => {
  const report = (): void => undefined;
  test.each([
    [{ subsystem: 'sftp', tty: false }],
    [{ command: '/usr/lib/openssh/sftp-server', tty: false }],
    [{ command: 'scp -t /x', tty: false }],
    [{ command: 'scp -v -r -f a b', tty: false }],
    [{ command: 'rsync --server -r . /x', tty: false }],
    [{ command: "git-receive-pack 'x'", tty: false }],
  ])('%j is', (kind) => expect(observeStream(kind, report)).not.toBeNull());
  test.each([
    [{ tty: false }],
    [{ subsystem: 'netconf', tty: false }],
    [{ command: 'true', tty: false }],
    [{ command: 'scp a b', tty: false }],
    [{ command: 'rsync a b', tty: false }],
    [{ command: 'scp -t /x', tty: true }],
    [{ command: 'scp -t /x; id', tty: false }],
    [{ command: 'git-upload-pack', tty: false }],
    [{ command: '', tty: false }],
  ])('%j is not', (kind) => expect(observeStream(kind, report)).toBeNull());
});
