/** Unauthenticated input of the page's SSH client, and the gateway's messages that it shows. */
import { SshWriter } from '#schemas/ssh/wire.js';
import { FrameReader, MAX_FRAME_DATA, encodeFrame } from '#schemas/terminal/frames.js';
import type { TerminalFrame } from '#schemas/terminal/frames.js';
import { ResumableStream } from '#schemas/terminal/resumable-stream.js';
import { agree, kexInit, readKexInit } from '../../../viewer/web/ssh/key-exchange.js';
import { MAX_PACKET, PacketBuffer, framed, payloadOf } from '../../../viewer/web/ssh/packets.js';
import { ReplyBuffer } from '../../../viewer/web/files/packets.js';
import { gatewayWords } from '../../../viewer/web/ssh/gateway-words.js';
import { confirmationIn } from '../../../viewer/web/terminal/end.js';
import { claim, claimEqual, parsed, utf8 } from '../target.js';
import type { Target } from '../target.js';

/** Everything that a buffer decodes from these bytes in pieces of this size. */
function cut(input: Buffer, pieces: number): unknown {
  const buffer = new PacketBuffer();
  const found: unknown[] = [];
  let version: string | null = null;
  for (let at = 0; at < input.length; at += pieces) {
    buffer.put(input.subarray(at, at + pieces));
    version ??= buffer.identification();
    if (version === null) continue;
    for (let packet = buffer.next(false); packet !== null; packet = buffer.next(false)) {
      claim(packet.body.length <= MAX_PACKET, 'a packet is bounded');
      const payload = payloadOf(packet.body);
      claim(payload.length > 0, 'a payload has a type');
      found.push(Buffer.from(payload).toString('hex'));
    }
  }
  return [version, found];
}

const packet = (payload: Uint8Array): Buffer => {
  const { length, body } = framed(payload, false);
  return Buffer.concat([length, body]);
};
const serverInit = (): Uint8Array => {
  const writer = new SshWriter().byte(20).raw(new Uint8Array(16));
  for (const names of [
    ['curve25519-sha256', 'kex-strict-s-v00@openssh.com'],
    ['ssh-ed25519-cert-v01@openssh.com', 'ssh-ed25519'],
    ['aes128-gcm@openssh.com'],
    ['aes256-gcm@openssh.com'],
    ...Array.from({ length: 6 }, () => ['none']),
  ])
    writer.nameList(names);
  return writer.byte(0).uint32(0).bytes();
};

const packets: Target = {
  name: 'page-ssh-packets',
  covers: ['viewer/web/ssh/packets'],
  maxLength: 4096,
  words: ['SSH-2.0-', '\r\n'],
  open: () =>
    Promise.resolve({
      seeds: [
        Buffer.concat([utf8('SSH-2.0-OpenSSH_9.9 Steno\r\n'), packet(serverInit()), packet(Uint8Array.of(21))]),
        utf8('a line before\nSSH-2.0-x\n'),
      ],
      check(input) {
        const whole = parsed(() => cut(input, Math.max(1, input.length)));
        const bytewise = parsed(() => cut(input, 1));
        if (whole !== undefined && bytewise !== undefined) claimEqual(whole, bytewise, 'pieces make no difference');
      },
    }),
};

const sftpReplies = (input: Buffer, pieces: number): unknown => {
  const buffer = new ReplyBuffer();
  const found: unknown[] = [];
  for (let at = 0; at < input.length; at += pieces) {
    buffer.put(input.subarray(at, at + pieces));
    for (let reply = buffer.next(); reply !== null; reply = buffer.next())
      found.push(JSON.stringify(reply, (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value)));
  }
  return found;
};
const sftp: Target = {
  name: 'page-sftp-replies',
  covers: ['viewer/web/files/packets'],
  maxLength: 4096,
  words: ['-rw-r--r-- 1 a a 7 Jan 1 00:00 a'],
  open: () =>
    Promise.resolve({
      seeds: [
        new SshWriter().byte(2).uint32(3).utf8('posix-rename@openssh.com').utf8('1'),
        new SshWriter().byte(101).uint32(1).uint32(2).utf8('No such file').utf8(''),
        new SshWriter().byte(103).uint32(3).utf8('bytes'),
        new SshWriter().byte(104).uint32(9).uint32(1).utf8('a').utf8('l').uint32(13).uint64(7n).uint32(0o100_644).uint32(1).uint32(2),
      ].map((writer) => Buffer.from(new SshWriter().string(writer.bytes()).bytes())),
      check(input) {
        const whole = parsed(() => sftpReplies(input, Math.max(1, input.length)));
        const bytewise = parsed(() => sftpReplies(input, 1));
        if (whole !== undefined && bytewise !== undefined) claimEqual(whole, bytewise, 'pieces make no difference');
      },
    }),
};

const offers: Target = {
  name: 'page-ssh-kexinit',
  covers: ['viewer/web/ssh/key-exchange'],
  maxLength: 2048,
  words: ['kex-strict-s-v00@openssh.com', 'curve25519-sha256', 'aes256-gcm@openssh.com', 'none'],
  open: () =>
    Promise.resolve({
      seeds: [serverInit()],
      check(input) {
        const offer = parsed(() => readKexInit(input));
        const agreed = parsed(() => agree(kexInit(true, true), input, true));
        if (agreed === undefined) return;
        claim(offer !== undefined, 'what is agreed on was read');
        claim(offer!.lists[0]!.includes('kex-strict-s-v00@openssh.com'), 'only a strict server is agreed with');
        claim(/-gcm@openssh\.com$/.test(agreed.toServer) && /-gcm@openssh\.com$/.test(agreed.toClient), 'packets are authenticated');
        claim(agreed.hostKey.endsWith('-cert-v01@openssh.com'), 'a host key is certified');
      },
    }),
};

const words: Target = {
  name: 'page-ssh-words',
  covers: ['viewer/web/terminal/end', 'viewer/web/ssh/gateway-words'],
  maxLength: 1024,
  words: ['steno: ', ' [LOCKED]', '/confirm#'],
  open: () =>
    Promise.resolve({
      seeds: [
        utf8('\r\nsteno: access is locked: on user x [LOCKED]\r\nsteno: Ask an administrator.\r\n'),
        utf8(`steno:   https://steno.example.com/confirm#${'a'.repeat(43)}\r\n`),
      ],
      check(input) {
        const text = input.toString();
        const said = gatewayWords(text);
        if (said !== null) claim(said.what.length <= 600 && said.fix.length <= 600, 'words are bounded');
        const token = confirmationIn(text);
        if (token !== null) claim(/^[A-Za-z0-9_-]{43}$/.test(token), 'a token is a token');
      },
    }),
};

const nonce = new Uint8Array(32);
const seedFrames: readonly TerminalFrame[] = [
  { kind: 'data', offset: 0, received: 3, bytes: utf8('hello') },
  { kind: 'received', received: 10 },
  { kind: 'data', offset: 5, received: 10, bytes: utf8('again') },
  { kind: 'end' },
];
/** All frames in these bytes, and the result of a stream that has sent ten bytes. */
const frames = (input: Buffer, pieces: number): unknown => {
  const reader = new FrameReader();
  const found: unknown[] = [];
  let passed = 0;
  const stream = new ResumableStream({
    bytes: (bytes) => (passed += bytes.length),
    frame: () => undefined,
    acknowledged: () => undefined,
    ended: () => undefined,
  });
  stream.send(utf8('0123456789'));
  for (let at = 0; at < input.length; at += pieces) {
    reader.put(input.subarray(at, at + pieces));
    for (let frame = reader.next(); frame !== null; frame = reader.next()) {
      if (frame.kind === 'data') claim(frame.bytes.length <= MAX_FRAME_DATA, 'a frame is bounded');
      found.push(Buffer.from(encodeFrame(frame)).toString('hex'));
      stream.take(frame);
      claim(stream.received === passed, 'every byte passes once');
      claim(stream.kept >= 0 && stream.kept <= 10, 'no more is kept than was sent');
    }
  }
  claim(input.toString('hex').startsWith(found.join('')), 'a frame is written as it was read');
  return found;
};
const stream: Target = {
  name: 'terminal-frames',
  covers: ['schemas/terminal/frames', 'schemas/terminal/resumable-stream'],
  maxLength: 4096,
  open: () =>
    Promise.resolve({
      seeds: [
        Buffer.concat(seedFrames.map((frame) => encodeFrame(frame))),
        encodeFrame({ kind: 'challenge', nonce }),
        encodeFrame({ kind: 'proof', received: 7, mac: nonce }),
        Buffer.concat([encodeFrame({ kind: 'resumed', received: 7 }), encodeFrame({ kind: 'refused' })]),
      ],
      check(input) {
        const whole = parsed(() => frames(input, Math.max(1, input.length)));
        const bytewise = parsed(() => frames(input, 1));
        if (whole !== undefined || bytewise !== undefined) claimEqual(whole, bytewise, 'pieces make no difference');
      },
    }),
};

export const pageSshTargets: readonly Target[] = [packets, sftp, offers, words, stream];
