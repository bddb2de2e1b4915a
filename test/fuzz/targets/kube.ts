/** Input of Kubernetes clients and output of containers: SPDY frames and frames of WebSocket channels. */
import {
  parseClientFrame,
  exitCodeOf,
  parseForwardedPorts,
  parseRemoteCommand,
  formatRemoteCommand,
} from '#schemas/kube/remote-command.js';
import { FrameReader, dataFrame, pingFrame, rstFrame, synReplyFrame, synStreamFrame } from '../../../gateway/kube/spdy/frames.js';
import type { Frame } from '../../../gateway/kube/spdy/frames.js';
import { HeaderWriter, MAX_BLOCK, SpdyError } from '../../../gateway/kube/spdy/header-block.js';
import { ResizeReader } from '../../../gateway/kube/streams/spdy-peer.js';
import { claim, claimEqual, utf8 } from '../target.js';
import type { Target } from '../target.js';

function conversation(): Buffer {
  const writer = new HeaderWriter();
  return Buffer.concat([
    synStreamFrame(1, writer.write(new Map([['streamtype', 'error']]))),
    synStreamFrame(
      3,
      writer.write(
        new Map([
          ['streamtype', 'data'],
          ['port', '8080'],
          ['requestid', '0'],
        ]),
      ),
    ),
    synReplyFrame(1, writer.write(new Map())),
    dataFrame(3, Buffer.from('GET / HTTP/1.1\r\n\r\n'), true),
    pingFrame(1),
    rstFrame(3, 5),
  ]);
}

const spdy: Target = {
  name: 'spdy',
  covers: ['gateway/kube/spdy'],
  maxLength: 4096,
  words: ['streamtype', '\x80\x03\x00\x01', '\x80\x03\x00\x08', '\x78\xbb\xe3\xc6\xa7\xc2'],
  open: () =>
    Promise.resolve({
      seeds: [conversation(), dataFrame(1, Buffer.from('hello'), false), pingFrame(2)],
      check(input) {
        const read = (pieces: readonly Uint8Array[]): { readonly frames: readonly Frame[]; readonly broken: boolean } => {
          const [reader, frames] = [new FrameReader(), [] as Frame[]];
          try {
            for (const piece of pieces) for (const frame of reader.push(Buffer.from(piece))) frames.push(frame);
          } catch (error) {
            claim(error instanceof SpdyError, `a reader throws SpdyError, not ${String(error)}`);
            return { frames, broken: true };
          }
          return { frames, broken: false };
        };
        const [whole, bytewise] = [read([input]), read(Array.from(input, (byte) => Buffer.of(byte)))];
        claim(whole.broken === bytewise.broken, 'whether a conversation breaks does not depend on how it arrives');
        claimEqual(summary(bytewise.frames), summary(whole.frames), 'nor does what was said');
        for (const frame of whole.frames)
          if ('headers' in frame) {
            const size = [...frame.headers].reduce((sum, [name, value]) => sum + name.length + value.length, 0);
            claim(size <= MAX_BLOCK, 'headers stay within their limit');
          }
      },
    }),
};

/** Joins data, regardless of how it was cut. */
function summary(frames: readonly Frame[]): unknown[] {
  const data = new Map<number, string>();
  const rest: unknown[] = [];
  for (const frame of frames)
    if (frame.kind === 'data')
      data.set(frame.stream, (data.get(frame.stream) ?? '') + frame.bytes.toString('hex') + (frame.fin ? '.' : ''));
    else rest.push('headers' in frame ? { ...frame, headers: [...frame.headers] } : frame);
  return [...data, ...rest];
}

const channels: Target = {
  name: 'kube-channels',
  covers: ['schemas/kube/remote-command', 'gateway/kube/streams/spdy-peer'],
  maxLength: 1024,
  words: ['{"Width":80,"Height":24}', '"status":"Success"', '"NonZeroExitCode"', 'command=sh&', 'stdin=true', 'tty=1', 'ports=80,81'],
  open: () =>
    Promise.resolve({
      seeds: [
        Buffer.from('\x00ls\r'),
        Buffer.from('\x04{"Width":80,"Height":24}'),
        Buffer.of(255, 0),
        utf8('container=main&command=sh&command=-c&stdin=true&stdout=true&tty=true'),
        utf8('{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}'),
      ],
      check(input) {
        for (const protocol of ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const) {
          const frame = parseClientFrame(input, protocol);
          if (frame?.kind === 'resize') claim(frame.cols <= 65_535 && frame.rows <= 65_535, 'a size fits a terminal');
          claim(frame?.kind !== 'end' || protocol === 'v5.channel.k8s.io', 'version 4 ends no input');
        }
        const code = exitCodeOf(input);
        claim(code === null || (code >= 0 && code <= 999), 'an exit code is a number');
        const text = input.toString('latin1');
        for (const kind of ['exec', 'attach'] as const) {
          const command = parseRemoteCommand(kind, text);
          if (command !== null)
            claimEqual(parseRemoteCommand(kind, formatRemoteCommand(command)), command, 'a command is asked for as it was understood');
        }
        const ports = parseForwardedPorts(text, 128);
        claim(ports === null || (ports.length > 0 && ports.length <= 128), 'ports stay within their bound');
        claim(ports === null || ports.every((port) => port >= 1 && port <= 65_535), 'a port is one');
        const sizes = (pieces: readonly Buffer[]): readonly string[] => {
          const reader = new ResizeReader();
          return pieces.flatMap((piece) => [...reader.push(piece)].map((size) => size.toString('latin1')));
        };
        // The reader passes on overlong garbage in pieces. Only well-formed sizes must not depend on how they arrive.
        const whole = sizes([input]);
        if (whole.every((size) => size.endsWith('}') && size.length < 256) && input.length < 256)
          claimEqual(sizes(Array.from(input, (byte) => Buffer.of(byte))), whole, 'sizes are the same however they arrive');
      },
    }),
};

export const kubeTargets: readonly Target[] = [spdy, channels];
