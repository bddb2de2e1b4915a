import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exitCodeOf, formatRemoteCommand, parseClientFrame, parseRemoteCommand } from './remote-command.js';

const encoder = new TextEncoder();
const frame = (channel: number, text: string): Uint8Array => Uint8Array.from([channel, ...encoder.encode(text)]);

describe('the parameters of a stream', () => {
  test('are parsed as kubectl writes them, in the order of the words', () => {
    expect(parseRemoteCommand('exec', 'command=sh&command=-c&command=a+b%20c&container=main&stdin=true&stdout=true&stderr=true')).toEqual({
      container: 'main',
      command: ['sh', '-c', 'a b c'],
      stdin: true,
      stdout: true,
      stderr: true,
      tty: false,
    });
    expect(parseRemoteCommand('attach', 'stdin=true&stdout=true&tty=true')).toMatchObject({ command: [], tty: true });
    expect(parseRemoteCommand('exec', 'command=sh&stderr=False&stdin=True&stdout=TRUE&tty=0')).toMatchObject({
      ...{ stdin: true, stdout: true, stderr: false, tty: false },
    });
    // A terminal has one output, as kubelets enforce.
    expect(parseRemoteCommand('exec', 'command=sh&stdout=true&stderr=true&tty=true')).toMatchObject({ stderr: false, tty: true });
  });

  test.each([
    ['no command', 'exec', 'stdout=true'],
    ['a command of attach', 'attach', 'stdout=true&command=sh'],
    ['a terminal with stderr only', 'exec', 'command=sh&stderr=true&tty=true'],
    ['no stream', 'exec', 'command=sh'],
    ['a flag twice', 'exec', 'command=sh&stdout=true&tty=false&tty=true'],
    ['a flag in another case', 'exec', 'command=sh&stdout=true&TTY=true'],
    ['a flag of another value', 'exec', 'command=sh&stdout=true&tty=yes'],
    ['an invalid container name', 'exec', 'command=sh&stdout=true&container=a/b'],
    ['an unknown parameter', 'exec', 'command=sh&stdout=true&more=1'],
    ['broken UTF-8', 'exec', 'command=%ff&stdout=true'],
  ] as const)('%s is refused', (_claim, subresource, query) => expect(parseRemoteCommand(subresource, query)).toBeNull());

  test('are parsed as they were written', () => {
    const word = fc.string({ unit: 'grapheme', maxLength: 12 });
    fc.assert(
      fc.property(
        fc.record({
          container: fc.constantFrom('', 'main', 'a-1'),
          command: fc.array(word, { minLength: 1, maxLength: 5 }),
          stdin: fc.boolean(),
          stdout: fc.constant(true),
          stderr: fc.constant(false),
          tty: fc.boolean(),
        }),
        (command) => {
          expect(parseRemoteCommand('exec', formatRemoteCommand(command))).toEqual(command);
        },
      ),
    );
  });
});

describe('frames of a client', () => {
  test.each([
    ['input', frame(0, 'ls\n'), { kind: 'stdin', data: encoder.encode('ls\n') }],
    ['nothing, to open the channel', frame(0, ''), { kind: 'stdin', data: encoder.encode('') }],
    ['a size', frame(4, '{"Width":80,"Height":24}'), { kind: 'resize', cols: 80, rows: 24 }],
    ['the end of input', Uint8Array.of(255, 0), { kind: 'end' }],
    ['the end of another channel', Uint8Array.of(255, 1), null],
    ['output', frame(1, 'x'), null],
    ['a status', frame(3, '{}'), null],
    ['another channel', frame(9, ''), null],
    ['no channel', Uint8Array.of(), null],
    ['an impossible size', frame(4, '{"Width":-1,"Height":24}'), null],
    ['a size that is not JSON', frame(4, '{'), null],
    ['a size that is null', frame(4, 'null'), null],
    ['a long size', frame(4, `{"Width":80,"Height":24}${' '.repeat(300)}`), null],
  ])('%s', (_claim, bytes, meaning) => expect(parseClientFrame(bytes, 'v5.channel.k8s.io')).toEqual(meaning));

  test('of version 4 end no channel', () => expect(parseClientFrame(Uint8Array.of(255, 0), 'v4.channel.k8s.io')).toBeNull());

  test('never throw', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void parseClientFrame(bytes, 'v5.channel.k8s.io')));
  });
});

test.each([
  ['{"status":"Success"}', 0],
  ['{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}', 7],
  ['{"status":"Failure","reason":"InternalError","message":"x"}', null],
  ['{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"-1"}]}}', null],
  ['null', null],
  ['invalid JSON', null],
])('the exit code of %s is %s', (status, code) => expect(exitCodeOf(encoder.encode(status))).toBe(code));
