import { describe, expect, it } from 'vitest';
import { CommandKeys } from './commands.js';
import { TerminalInput } from './terminal-input.js';
import type { ParticipantMode } from '#schemas/session-join.js';

function press(mode: ParticipantMode, ...pieces: readonly string[]): readonly string[] {
  const [keys, input] = [new CommandKeys(mode), new TerminalInput()];
  return pieces
    .flatMap((piece) => keys.take(input.push(Buffer.from(piece))))
    .map((what) => {
      if (typeof what === 'string') return what;
      if ('typed' in what) return `typed ${JSON.stringify(what.typed.toString())}`;
      return 'said' in what ? `said ${JSON.stringify(what.said)}` : `draft ${JSON.stringify(what.draft)}`;
    });
}

/** The actions without the drafts of messages. */
const done = (mode: ParticipantMode, ...pieces: readonly string[]): readonly string[] =>
  press(mode, ...pieces).filter((what) => !what.startsWith('draft'));

describe('keys of a participant', () => {
  it.each<[ParticipantMode, string, readonly string[]]>([
    ['observer', 'q', ['leave']],
    ['observer', '\x03', ['leave']],
    ['observer', '\x0c', ['redraw']],
    ['observer', 'p', ['help']],
    ['observer', '\x1b[A', ['help']],
    ['observer', '\x1b[?1;2c\x1b]11;q\x07', []],
    ['moderator', 'prt', ['pause', 'resume', 'end']],
    ['moderator', 'x', ['help']],
    ['peer', 'q', ['typed "q"']],
    ['peer', 'a\x1dqb', ['typed "a"', 'leave', 'typed "b"']],
    ['peer', '\x1dl', ['redraw']],
    ['peer', '\x1d\x1d', ['typed "\\u001d"']],
    ['peer', '\x1dz', ['help']],
    ['owner', 'hbxq', ['hand', 'take', 'refuse', 'leave']],
    ['owner', 'p', ['help']],
    ['observer', 'hbx', ['help', 'help', 'help']],
    ['peer', 'c', ['typed "c"']],
    ['peer', '\x03\x1b[A', ['typed "\\u0003"', 'typed "\\u001b[A"']],
  ])('%s %j: %j', (mode, keys, did) => {
    expect(press(mode, keys)).toEqual(did);
    expect(press(mode, ...keys)).toEqual(did);
  });

  it('a long paste presses only a few keys', () => {
    expect(press('observer', 'z'.repeat(30_000))).toHaveLength(8);
  });

  it.each<[string, ParticipantMode, string, readonly string[]]>([
    ['is sent with Enter', 'observer', 'chi there\rq', ['said "hi there"', 'leave']],
    [
      'of a peer begins after the prefix, and keys after the message are typed into the session',
      'peer',
      'ls\x1dcok\rpwd',
      ['typed "ls"', 'said "ok"', 'typed "pwd"'],
    ],
    ['is cancelled with ESC', 'moderator', 'chi\x1b', []],
    ['is cancelled with Ctrl-C, which does not leave', 'observer', 'chi\x03p', ['help']],
    ['is not sent if it is empty', 'observer', 'c  \rq', ['leave']],
    ['may contain command keys', 'owner', 'cxqhb\r', ['said "xqhb"']],
    ['is corrected character by character', 'observer', 'ca\u00e9\u4e2d\x7f\x7fb\r', ['said "ab"']],
    ['is emptied with Ctrl-U', 'observer', 'cabc\x15d\r', ['said "d"']],
    ['contains no control characters, and no answers from the terminal', 'observer', 'ca\x07\x1b[?1;2cb\x1b[A\tc\r', ['said "abc"']],
  ])('a message %s', (_what, mode, keys, did) => {
    expect(done(mode, keys)).toEqual(did);
    // A lone ESC is recognized only by the time that follows it.
    const bytes = Array.from(Buffer.from(keys), (byte) => String.fromCharCode(byte));
    const messages = (all: readonly string[]): readonly string[] => all.filter((what) => what.startsWith('said'));
    if (!/[\x1b\u0080-\uffff]/.test(keys)) expect(messages(done(mode, ...bytes))).toEqual(messages(did));
  });

  it('a message is bounded', () => {
    expect(done('observer', `c${'x'.repeat(30_000)}\r`)).toEqual([`said ${JSON.stringify('x'.repeat(400))}`]);
  });
});
