import { describe, expect, test } from 'vitest';
import { parseCommand, shellWords } from './command.js';
import { observeStream } from '../protocols.js';

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
  ])('%s', (line, words) => expect(shellWords(line)).toEqual(words));

  test.each([
    ['/usr/bin/rsync --server . x', 'rsync', ['--server', '.', 'x'], true],
    ['sudo -u root -n rsync --server . x', 'rsync', ['--server', '.', 'x'], true],
    ['nice -n 5 ionice -c 2 scp -t x', 'scp', ['-t', 'x'], true],
    ['exec /usr/lib/openssh/sftp-server', 'sftp-server', [], true],
    ["git upload-pack '/r.git'", 'git-upload-pack', ['/r.git'], true],
    ["git-upload-pack '/r.git'", 'git-upload-pack', ['/r.git'], true],
    ['LC_ALL=C env -i A=b nice -n 5 scp -t x', 'scp', ['-t', 'x'], false],
    ['PATH=/tmp/mine scp -t x', 'scp', ['-t', 'x'], false],
    ['LD_PRELOAD=/tmp/mine.so /usr/bin/scp -t x', 'scp', ['-t', 'x'], false],
    ['exec -a scp bash', 'scp', ['bash'], false],
    ['exec -c /usr/bin/scp -t x', 'scp', ['-t', 'x'], false],
    ['env --split-string=bash scp -t x', 'scp', ['-t', 'x'], false],
    ['env PATH=/tmp/mine scp -t x', 'scp', ['-t', 'x'], false],
    ['sudo -s scp -t x', 'scp', ['-t', 'x'], false],
    ['sudo --user scp bash', 'scp', ['bash'], false],
    ['/tmp/mine/scp -t x', 'scp', ['-t', 'x'], false],
    ['./scp -t x', 'scp', ['-t', 'x'], false],
    ['$HOME/scp -t x', 'scp', ['-t', 'x'], false],
    ['~/scp -t x', 'scp', ['-t', 'x'], false],
    ['/usr/bin/../../tmp/scp -t x', 'scp', ['-t', 'x'], false],
    ['/home/sudo/env/usr/bin/scp -t x', 'scp', ['-t', 'x'], false],
    ['/tmp/sudo /usr/bin/scp -t x', 'scp', ['-t', 'x'], false],
  ])('the program of %s', (line, program, args, plain) => expect(parseCommand(line)).toEqual({ program, args, plain }));
});

test('a command as long as a packet of SSH is looked at, a longer one is not', () => {
  const long = `scp -t ${'x'.repeat(200_000)}`;
  expect(parseCommand(long)?.program).toBe('scp');
  expect(parseCommand(long.padEnd(256 * 1024 + 1, 'x'))).toBeNull();
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

describe('which directions facts account for', () => {
  const report = (): void => undefined;
  test.each([
    [{ subsystem: 'sftp', tty: false }, 'both'],
    [{ command: '/usr/lib/openssh/sftp-server', tty: false }, 'both'],
    [{ command: 'scp -t /x', tty: false }, 'in'],
    [{ command: 'scp -f /x', tty: false }, 'out'],
    [{ command: 'rsync --server -r . /x', tty: false }, 'in'],
    [{ command: 'rsync --server --sender -r . /x', tty: false }, 'out'],
    [{ command: "git-receive-pack 'x'", tty: false }, 'in'],
    [{ command: "git-upload-pack 'x'", tty: false }, 'out'],
    [{ command: 'rsync --server --daemon .', tty: false }, 'neither'],
    [{ command: 'exec -a scp bash -f', tty: false }, undefined],
    [{ command: 'exec -a scp scp -t x', tty: false }, undefined],
    [{ command: 'PATH=/tmp/mine scp -t x', tty: false }, 'neither'],
    [{ command: '/tmp/mine/sftp-server', tty: false }, 'neither'],
    [{ command: 'env -S bash scp -t x', tty: false }, undefined],
  ] as const)('%j: %s', (kind, follows) => expect(observeStream(kind, report)?.follows).toBe(follows));

  test.each([
    [{ subsystem: 'sftp', tty: false }],
    [{ command: 'scp -t /x', tty: false }],
    [{ command: 'scp -f /x', tty: false }],
    [{ command: "git-receive-pack 'x'", tty: false }],
    [{ command: "git-upload-pack 'x'", tty: false }],
    [{ command: 'rsync --server -r . /x', tty: false }],
    [{ command: 'rsync --server --sender -r . /x', tty: false }],
  ])('none once a shell speaks instead: %j', (kind) => {
    const observer = observeStream(kind, report)!;
    observer.input(Buffer.from('echo in the middle of it; id\n'));
    observer.output(Buffer.from('in the middle of it\nuid=0(root)\n'));
    expect(observer.follows).toBe('neither');
  });
});
