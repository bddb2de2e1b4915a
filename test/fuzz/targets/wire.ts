/** Messages between services, and the first bytes of their connections. */
import { decodeUplink, encodeUplink } from '#schemas/uplink.js';
import { agentMessage, decodeFrame, encodeFrame, gatewayMessage, openStream, parseTunnelJson } from '#schemas/tunnel.js';
import { decodeOpening, encodeOpening } from '#schemas/api/recordings/opening.js';
import { parseAuthorization } from '#schemas/request.js';
import { parseJoinToken } from '#schemas/join.js';
import { parseStatement } from '#schemas/documents/cluster.js';
import { parseServiceName, parseTarget, parseTraits } from '#schemas/base/identity.js';
import { parseDuration } from '#schemas/base/duration.js';
import { readHttpConnect } from '../../../gateway/edge/http-connect.js';
import type { SocketWire } from '../../../gateway/edge/socket-wire.js';
import { encodeRecord, readRecords } from '../../../gateway/spool/journal.js';
import { claim, claimEqual, parsed, utf8 } from '../target.js';
import type { Target } from '../target.js';

const session = '01kanar9g0dtjvf0yq516zc20n';
const head = 'ab'.repeat(32);
const checkpoint = {
  session,
  gateway: 'gw-1',
  counter: 1,
  block: 2,
  bytes: 100,
  at: 5,
  time: 1,
  head,
  end: 'open' as const,
  signature: Buffer.alloc(64).toString('base64'),
};

const uplink: Target = {
  name: 'uplink',
  covers: ['schemas/uplink', 'schemas/recording/checkpoint'],
  maxLength: 4096,
  words: ['"session":"', '"events":', '"n":', '"head":"', '"checkpoint":{', '"table":"kernel"', '"version":1'],
  open: () =>
    Promise.resolve({
      seeds: [
        encodeUplink('hello', { version: 1, name: 'gw-1', certificate: 'AAAA' }),
        encodeUplink('open', { session }),
        encodeUplink('block', { session, n: 1, head }, utf8('[0,"o","x"]\n')),
        encodeUplink('checkpoint', { session, part: 1, checkpoint }),
        encodeUplink('events', { id: 'a/1', table: 'kernel' }, utf8('[[]]')),
        encodeUplink('ack', { session, received: 1, stored: 1, closed: false }),
        encodeUplink('refuse', { session, code: 'X', detail: 'y' }),
      ],
      check(input) {
        const frame = parsed(() => decodeUplink(input));
        if (frame === undefined) return;
        const again = decodeUplink(encodeUplink(frame.kind, frame.header as never, frame.payload));
        claimEqual(again, frame, 'a frame is read again as it was written');
      },
    }),
};

const tunnel: Target = {
  name: 'tunnel',
  covers: ['schemas/tunnel', 'schemas/join'],
  maxLength: 2048,
  words: ['{"kind":"welcome"', '"trust"', '"version":1', '"signed":', '"request":"', '"refusal"', '"leaving"'],
  open: () =>
    Promise.resolve({
      seeds: [
        encodeFrame('control', 0, utf8('{"kind":"leaving"}')),
        encodeFrame('control', 0, utf8('{"kind":"refusal","id":1,"code":"X","detail":"y"}')),
        encodeFrame('control', 0, utf8('{"kind":"signed","id":1,"signed":{"request":"{}","signature":"AA=="}}')),
        encodeFrame('data', 3, utf8('bytes')),
        encodeFrame('window', 3, Buffer.of(0, 1, 0, 0)),
        encodeFrame('end', 3, new Uint8Array(0)),
      ],
      check(input) {
        const frame = parsed(() => decodeFrame(input));
        if (frame === undefined) return;
        claimEqual(encodeFrame(frame.type, frame.stream, frame.payload), input, 'a frame is written as it was read');
        for (const schema of [gatewayMessage, agentMessage, openStream])
          parsed<unknown>(() => parseTunnelJson<typeof schema>(schema, frame.payload));
      },
    }),
};

const first: Target = {
  name: 'http-connect',
  covers: ['gateway/edge/http-connect', 'schemas/identity'],
  maxLength: 2500,
  words: ['CONNECT ', ':22 HTTP/1.1\r\n\r\n', 'SSH-2.0-', '\r\nHost: '],
  open: () =>
    Promise.resolve({
      seeds: [utf8('CONNECT web-1:22 HTTP/1.1\r\nHost: x\r\n\r\nSSH-2.0-x\r\n'), utf8('SSH-2.0-x\r\nrest')],
      check(input) {
        const run = (
          pieces: readonly Buffer[],
        ): { readonly said: string; readonly node: string | null | undefined; readonly left: string } => {
          let said = '';
          let node: string | null | undefined;
          let left = '';
          let to: { bytes(chunk: Buffer): void; closed(): void } | undefined;
          const wire = {
            attach: (handlers: typeof to) => {
              to = handlers;
            },
            send: (bytes: Buffer) => {
              said += bytes.toString('latin1');
            },
            end: () => to?.closed(),
            destroy: () => to?.closed(),
            unread: (bytes: Buffer) => {
              left = bytes.toString('latin1');
            },
          };
          readHttpConnect(wire as unknown as SocketWire, 1_000, {
            opened: (name) => {
              node = name;
              to = {
                bytes: (chunk) => {
                  left += chunk.toString('latin1');
                },
                closed: () => undefined,
              };
            },
            gone: () => undefined,
          });
          for (const piece of pieces) to?.bytes(piece);
          to?.closed();
          return { said, node, left };
        };
        const whole = run([input]);
        claimEqual(run([...input].map((byte) => Buffer.of(byte))), whole, 'a connection begins the same however its bytes arrive');
        claim(whole.said.length < 100 && /^(HTTP\/1\.1 \d{3} [^\r\n]*\r\n(Connection: close\r\n)?\r\n)?$/.test(whole.said), 'one answer');
        if (typeof whole.node === 'string') claim(/^[a-z0-9]/i.test(whole.node), 'a node has a name');
      },
    }),
};

const texts: Target = {
  name: 'short-texts',
  covers: [
    'schemas/identity',
    'schemas/duration',
    'schemas/request',
    'schemas/join',
    'schemas/cluster',
    'schemas/opening',
    'gateway/spool/journal',
  ],
  maxLength: 1024,
  words: ['steno-join-', '@', '"stored":', '"closed":true', '"part":1', 'certificate=', 'signature=', '8h30m', 'gateway/gw-1'],
  open: () =>
    Promise.resolve({
      seeds: [
        utf8('root@web-1@gw'),
        utf8('8h'),
        utf8('{"team":["a","b"]}'),
        utf8('gateway/gw-1'),
        encodeRecord({ kind: 'stored', stored: 3, closed: false }),
        encodeRecord({ kind: 'part', part: 1, checkpoint }),
        utf8('{"a":1}\nlines'),
      ],
      check(input) {
        const text = input.toString();
        const duration = parseDuration(text);
        if (duration !== null) claim(Number.isSafeInteger(duration) && duration >= 0, 'a duration is a number of milliseconds');
        parseTarget(text);
        parseServiceName(text);
        const traits = parseTraits(text);
        if (traits !== null) claimEqual(parseTraits(JSON.stringify(traits)), traits, 'traits are read again');
        parseAuthorization(text);
        parseJoinToken(text);
        parsed(() => parseStatement(text));
        try {
          const { opening, lines } = decodeOpening(text);
          claimEqual(
            decodeOpening(Buffer.from(encodeOpening(opening, utf8(lines))).toString()),
            { opening, lines },
            'an opening is read again',
          );
        } catch (error) {
          // The page reads these from its own server.
          if (!(error instanceof SyntaxError)) throw error;
        }
        let end = 0;
        for (const entry of readRecords(input)) {
          claim(entry.end > end && entry.end <= input.length, 'records follow one another');
          end = entry.end;
        }
      },
    }),
};

export const wireTargets: readonly Target[] = [uplink, tunnel, first, texts];
