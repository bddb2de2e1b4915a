/** The observers of file transfers: for any dialogue of two peers, at once or byte by byte, the facts are the same and bounded. */
import { setFlagsFromString } from 'node:v8';
import type { FileFact, Gap } from '#schemas/recording/line.js';
import { earlyPool, listPool } from '../../../gateway/streams/observing/budget.js';
import { parseCommand } from '../../../gateway/streams/observing/command.js';
import { observeStream } from '../../../gateway/streams/protocols.js';
import type { StreamKind } from '../../../gateway/streams/observing/observer.js';
import { claim, claimEqual, script, steps, utf8 } from '../target.js';
import type { Target } from '../target.js';

setFlagsFromString('--stack-size=900');

type Fact = FileFact | { readonly gap: Gap };

function facts(kind: StreamKind, input: Buffer, bytewise: boolean): readonly Fact[] | null {
  const found: Fact[] = [];
  const observer = observeStream(kind, (fact) => {
    found.push(fact);
  });
  if (observer === null) return null;
  for (const { side, bytes } of steps(input)) {
    const say = (piece: Buffer): void => {
      if (side === 0) observer.input(piece);
      else observer.output(piece);
    };
    if (!bytewise) say(Buffer.from(bytes));
    else for (let i = 0; i < bytes.length; i++) say(Buffer.from(bytes.subarray(i, i + 1)));
  }
  observer.end();
  const told = found.length;
  observer.input(Buffer.from('after the end'));
  observer.output(Buffer.from('after the end'));
  claim(found.length === told, 'nothing is reported after the end');
  return found;
}

function stream(name: string, kind: StreamKind, covers: readonly string[], words: readonly string[], seeds: readonly Buffer[]): Target {
  return {
    name,
    covers: ['gateway/streams/observing/feed', 'gateway/streams/observing/budget', ...covers.map((file) => `gateway/streams/${file}`)],
    maxLength: 4096,
    words,
    open: () =>
      Promise.resolve({
        seeds,
        check(input) {
          const [early, lists] = [earlyPool.held, listPool.held];
          const whole = facts(kind, input, false);
          const bytewise = facts(kind, input, true);
          claim(whole !== null, 'the stream is followed');
          claimEqual(whole, bytewise, 'the facts do not depend on how the bytes arrive');
          claim(earlyPool.held === early && listPool.held === lists, 'what streams share is given back');
          for (const fact of whole) {
            const text = JSON.stringify(fact);
            claim(Buffer.byteLength(text) < 40_000, `a fact of ${text.length} characters`);
            claim(!text.includes('the observer failed'), `a fault of the observer: ${text}`);
          }
        },
      }),
  };
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
const packet = (type: number, ...fields: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(fields);
  return Buffer.concat([u32(body.length + 1), Buffer.of(type), body]);
};
const u64 = (value: number): Buffer => Buffer.concat([u32(0), u32(value)]);
const ok = (id: number): Buffer => packet(101, u32(id), u32(0), text(''), text(''));

const sftpSeed = script(
  [0, packet(1, u32(3))],
  [1, packet(2, u32(3))],
  [0, packet(3, u32(1), text('/etc/a'), u32(0x1a), u32(0))],
  [1, packet(102, u32(1), text('h'))],
  [0, packet(6, u32(2), text('h'), u64(0), text('content'))],
  [1, ok(2)],
  [0, packet(8, u32(3), text('h'))],
  [1, packet(105, u32(3), u32(1), u64(7))],
  [0, packet(4, u32(4), text('h'))],
  [1, ok(4)],
  [0, packet(5, u32(5), text('h'), u64(0), u32(100))],
  [1, packet(103, u32(5), text('data'))],
  [0, packet(11, u32(6), text('/'))],
  [1, packet(102, u32(6), text('d'))],
  [0, packet(12, u32(7), text('d'))],
  [1, packet(104, u32(7), u32(1), text('a'), text('-rw a'), u32(0))],
  [0, packet(18, u32(8), text('/a'), text('/b'))],
  [1, packet(101, u32(8), u32(4), text('no'), text('en'))],
  [0, packet(200, u32(9), text('posix-rename@openssh.com'), text('/a'), text('/b'))],
  [1, ok(9)],
);
const version31 = Buffer.of(31, 0, 0, 0);
const rsyncSeed = script(
  [0, version31],
  [1, Buffer.concat([version31, Buffer.of(0x80, 0x81), Buffer.from('\u0003md5'), Buffer.alloc(4)])],
  [0, Buffer.from('\u0003md5')],
  [0, Buffer.of(20, 0, 0, 7, 0x19, 1, 0x61, 5, 0, 0, 0x40, 0xe0, 0x0b, 0x5f, 0xed, 0x41, 0, 0, 0, 0, 0, 0, 0, 0)],
  [1, Buffer.of(4, 0, 0, 7, 1, 0, 0, 0)],
);
const git = (line: string): Buffer => Buffer.from(`${(Buffer.byteLength(line) + 4).toString(16).padStart(4, '0')}${line}`);
const id = '0123456789012345678901234567890123456789';

export const streamTargets: readonly Target[] = [
  stream(
    'sftp',
    { subsystem: 'sftp', tty: false },
    ['sftp/'],
    ['posix-rename@openssh.com', 'hardlink@openssh.com', 'copy-data', 'fsync@openssh.com', 'limits@openssh.com', 'lsetstat@openssh.com'],
    [sftpSeed],
  ),
  stream(
    'scp-to-node',
    { command: 'scp -r -p -t /x', tty: false },
    ['scp'],
    ['C0644 ', 'D0755 0 ', 'T1 0 1 0\n', 'E\n'],
    [
      script(
        [1, Buffer.alloc(1)],
        [0, utf8('T1 0 1 0\n')],
        [1, Buffer.alloc(1)],
        [0, utf8('C0644 4 a\n')],
        [1, Buffer.alloc(1)],
        [0, utf8('abcd\0')],
        [1, Buffer.alloc(1)],
        [0, utf8('D0755 0 d\nE\n')],
      ),
    ],
  ),
  stream(
    'scp-from-node',
    { command: 'scp -f /x', tty: false },
    ['scp'],
    ['C0644 ', 'D0755 0 ', 'E\n'],
    [script([0, Buffer.alloc(1)], [1, utf8('C0644 4 a\n')], [0, Buffer.alloc(1)], [1, utf8('abcd\0')], [0, Buffer.alloc(1)])],
  ),
  stream(
    'rsync-to-node',
    { command: 'rsync --server -vlogDtpre.iLsfxCIvu . /x', tty: false },
    ['rsync/'],
    ['\u0003md5', '\u0004none', 'xxh64 xxh3'],
    [rsyncSeed],
  ),
  stream(
    'rsync-from-node',
    { command: 'rsync --server --sender -vlogDtpre.iLsfxCIvu . /x', tty: false },
    ['rsync/'],
    ['\u0003md5', '\u0004none'],
    [rsyncSeed],
  ),
  stream(
    'git-push',
    { command: "git-receive-pack '/r.git'", tty: false },
    ['git'],
    ['0000', '0001', 'PACK', 'report-status', ' refs/heads/main', id],
    [
      script(
        [1, Buffer.concat([git(`${id} refs/heads/main\0report-status\n`), utf8('0000')])],
        [0, Buffer.concat([git(`${id} ${id} refs/heads/main\0report-status`), utf8('0000PACK')])],
        [1, Buffer.concat([git('unpack ok\n'), git('ok refs/heads/main\n'), utf8('0000')])],
      ),
    ],
  ),
  stream(
    'git-fetch',
    { command: "git-upload-pack '/r.git'", tty: false },
    ['git'],
    ['0000', '0001', 'version 2', 'command=fetch', 'want ', 'have ', 'done', id],
    [
      script(
        [1, Buffer.concat([git(`${id} HEAD\0multi_ack\n`), utf8('0000')])],
        [0, Buffer.concat([git(`want ${id}\n`), utf8('0000'), git('done\n')])],
        [1, utf8('0008NAK\nPACK')],
      ),
    ],
  ),
  {
    name: 'command-line',
    covers: ['gateway/streams/observing/command', 'gateway/streams/rsync/args'],
    maxLength: 1024,
    words: ['rsync --server --sender', 'scp -t', "git-upload-pack '", '$(', '\\', '"', "'", '-e.', '--'],
    open: () =>
      Promise.resolve({
        seeds: [
          'rsync --server -vlogDtpre.iLsfxCIvu --files-from=- . /x',
          'scp -v -r -d -t -- /x',
          "git-upload-pack '/a b.git'",
          '/usr/lib/openssh/sftp-server -d "a b"',
        ].map(utf8),
        check(input) {
          const line = input.toString();
          const words = parseCommand(line);
          const observer = observeStream({ command: line, tty: false }, () => undefined);
          observer?.end();
          if (observer !== null) claim(words !== null, 'what is followed was understood');
          claim(observeStream({ command: line, tty: true }, () => undefined) === null, 'nothing is followed on a terminal');
        },
      }),
  },
];
