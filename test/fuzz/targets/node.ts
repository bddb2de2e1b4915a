/** Input of a node: terminal modes, frames between its service and its helpers, and destinations of forwardings. */
import { FrameError, FrameReader, encodeFrame } from '../../../agent/helper/frames.js';
import { isPlace, parseAnswer, parseOrder } from '../../../agent/helper/messages.js';
import { decodeModes, sttyWords } from '../../../agent/ssh/modes.js';
import { canonicalHost, isLoopbackHost } from '#schemas/base/host-name.js';
import { literalAddress, parseAddress, parseBlock, sourceKey } from '#schemas/base/ip-address.js';
import { matchesAddress, parseDestination } from '#schemas/policy/destination.js';
import { decodeForwarding, encodeForwarding, forwardSettings, permittedAddresses, refuseConnecting } from '#schemas/policy/forwarding.js';
import { claim, claimEqual, utf8 } from '../target.js';
import type { Target } from '../target.js';

const modes: Target = {
  name: 'terminal-modes',
  covers: ['agent/ssh/modes'],
  maxLength: 1024,
  open: () =>
    Promise.resolve({
      seeds: [Buffer.of(3, 0, 0, 0, 8, 38, 0, 0, 0, 0, 129, 0, 0, 0x96, 0, 0), Buffer.of(1, 0, 0, 0, 255, 91, 0, 0, 0, 1, 160, 1, 2)],
      check(input) {
        for (const words of sttyWords(decodeModes(input))) {
          claim(words.length > 0 && words.length <= 400, 'a call of stty has words, and not many');
          // The result contains only numbers of the input, so no outside text can become an option or a path.
          for (const word of words) claim(/^(-?[a-z0-9]{2,8}|0x[0-9a-f]{2}|undef|\d{1,7})$/.test(word), `a word of stty: ${word}`);
        }
      },
    }),
};

const frames: Target = {
  name: 'helper-frames',
  covers: ['agent/helper/frames', 'agent/helper/messages'],
  maxLength: 2048,
  words: [
    '{"kind":"connected","id":1,"handover":1}',
    '{"kind":"failed"',
    '"code":"ECONNREFUSED"',
    '"place":{"kind":"tcp","host":"',
    '"path":"/',
    '"judgement":"allowed"',
    '"kind":"become"',
    '__proto__',
  ],
  open: () =>
    Promise.resolve({
      seeds: [
        Buffer.concat([
          encodeFrame({ kind: 'judged', judgement: 'refused', text: 'no' }),
          encodeFrame({ kind: 'became' }),
          encodeFrame({ kind: 'connected', id: 1, handover: 2 }),
          encodeFrame({ kind: 'failed', id: 3, code: 'ENOENT' }),
        ]),
        Buffer.concat([
          encodeFrame({ kind: 'account', service: 'sshd', user: 'ann', host: '127.0.0.1' }),
          encodeFrame({ kind: 'listen', id: 1, place: { kind: 'path', path: '/tmp/x' } }),
          encodeFrame({ kind: 'connect', id: 2, place: { kind: 'tcp', host: 'h', port: 22 } }),
        ]),
      ],
      check(input) {
        for (const parse of [parseAnswer, parseOrder] as readonly ((value: unknown) => object | null)[]) {
          const read = (pieces: readonly Uint8Array[]): { readonly messages: readonly object[]; readonly broken: boolean } => {
            const reader = new FrameReader<object>(parse);
            const messages: object[] = [];
            try {
              for (const piece of pieces) messages.push(...reader.push(piece));
            } catch (error) {
              claim(error instanceof FrameError, `a reader throws FrameError, not ${String(error)}`);
              return { messages, broken: true };
            }
            return { messages, broken: false };
          };
          const bytewise = read(Array.from(input, (byte) => Buffer.of(byte)));
          const whole = read([input]);
          claim(whole.broken === bytewise.broken, 'whether a conversation breaks does not depend on how it arrives');
          if (!whole.broken) claimEqual(bytewise.messages, whole.messages, 'nor does what was said');
          for (const message of bytewise.messages) {
            claimEqual(parse(JSON.parse(encodeFrame(message).toString('utf8', 4))), message, 'a message is read again as it was written');
            if ('place' in message) claim(isPlace(message.place), 'a place is one that may be asked for');
          }
        }
      },
    }),
};

const grants = [
  forwardSettings.parse({}),
  forwardSettings.parse({ loopback: false }),
  forwardSettings.parse({ to: ['10.0.0.0/8:22', '*.example.com'] }),
].map((grant) => ({ allow: [grant], deny: [] }));

const destinations: Target = {
  name: 'destination',
  covers: ['schemas/policy/destination', 'schemas/policy/forwarding', 'schemas/ip-address', 'schemas/host-name'],
  maxLength: 512,
  words: [
    '169.254.169.254',
    '0x7f.1',
    '::ffff:127.0.0.1',
    '[::1]:80',
    'localhost',
    'metadata.google.internal',
    '{"allow":[',
    '"to":["10.0.0.0/8"]',
    '64:ff9b::',
    '2130706433',
    '017700000001',
    '*.example.com:443',
  ],
  open: () =>
    Promise.resolve({
      seeds: [
        '10.0.0.0/8:22',
        '[fd00::1]:443',
        '*.example.com:5432-5440',
        '127.0.0.1',
        '0x7f000001',
        'localhost.',
        encodeForwarding(grants[0]!),
      ].map(utf8),
      check(input) {
        const text = input.toString();
        parseDestination(text);
        parseBlock(text);
        sourceKey(text);
        const host = canonicalHost(text);
        claim(canonicalHost(host) === host, 'a name that was made canonical stays as it is');
        isLoopbackHost(text);
        const rules = decodeForwarding(text);
        claimEqual(decodeForwarding(encodeForwarding(rules)), rules, 'rules are read again as they were written');
        const address = parseAddress(text);
        const literal = literalAddress(text);
        if (address !== undefined) claimEqual(literal, address, 'an address is a literal');
        if (literal === undefined) return;
        const metadata = parseDestination('169.254.0.0/16')!;
        if (matchesAddress(metadata, literal, 80))
          for (const grant of grants)
            claim(refuseConnecting(grant, { host: text, port: 80 }, true) !== null, 'metadata is closed in every spelling');
        if (address !== undefined)
          for (const grant of grants)
            claim(
              permittedAddresses(grant, { host: text, port: 80 }, [text]).length > 0 ===
                (refuseConnecting(grant, { host: text, port: 80 }, true) === null),
              'gateway and node agree on addresses',
            );
      },
    }),
};

export const nodeTargets: readonly Target[] = [modes, frames, destinations];
