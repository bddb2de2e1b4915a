/** Recordings, which may come from anybody: container, proofs, compressed frames, lines, and their rendering. */
import * as zlib from 'node:zlib';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { MAX_COMPRESS_BYTES, contentSize, openZstd } from '#runtime/zstd.js';
import { StenoError } from '#schemas/base/errors.js';
import { dataFrameLength, readContainer } from '#schemas/recording/container.js';
import { eventRow } from '#schemas/events/rows.js';
import { KERNEL_BLOCKS } from '#schemas/kernel/kernel.js';
import { EventPlaces } from '#schemas/recording/event-places.js';
import { encodeHeader, encodeLine, parseHeader, parseKeyframe, parseLine, parseSize, peekLine } from '#schemas/recording/line.js';
import { parseManifest } from '#schemas/recording/layout.js';
import { readSealed } from '#schemas/recording/sealed.js';
import { TerminalFilter } from '../../../cli/terminal/terminal-filter.js';
import { loggedEvents } from '#recordings/derive/logged-events.js';
import { BlockReader } from '#recordings/read/block-reader.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import { KeyframeCheck } from '#recordings/render/keyframe-check.js';
import { scanFrame } from '#recordings/read/recording-reader.js';
import { parseLines } from '#schemas/player/segments.js';
import { makeCorpus } from '../../verify/recordings.js';
import type { Corpus } from '../../verify/recordings.js';
import { claim, claimEqual, parsed, utf8 } from '../target.js';
import type { Target } from '../target.js';

let made: Promise<Corpus> | undefined;
const corpus = (): Promise<Corpus> => (made ??= makeCorpus());
/** Real recordings, small enough that mutations reach their inner parts. */
const MAX_SEED = 12_000;

const container: Target = {
  name: 'recording-file',
  covers: ['schemas/recording', 'schemas/ssh'],
  maxLength: MAX_SEED + 1024,
  words: [
    '"end":"complete"',
    '"end":"open"',
    '"certificate":"',
    '"part":1',
    '"first_block":1',
    '[0,"k",{"cols":80,"rows":24,"screen":""}]',
  ],
  async open() {
    const { ca, recordings } = await corpus();
    const verify = await openVerifier([ca.line], (header) => new KeyframeCheck(header));
    const seeds = recordings.filter(({ file }) => file.length <= MAX_SEED).map(({ file }) => file);
    const signed = new Set(seeds.map((file) => verify(file)).map((verdict) => (verdict.ok ? verdict.checkpoint.head : '')));
    return {
      seeds,
      check(input) {
        const segments = parsed(() => [...readContainer(input)]);
        if (segments !== undefined) for (const segment of segments) claim(segment.offset <= input.length, 'a segment lies in the file');
        const verdict = verify(input);
        if (verdict.ok) claim(signed.has(verdict.checkpoint.head), 'what is called good was signed');
        else claim(verdict.detail.length > 0 && verdict.detail.length < 1000, 'a verdict says why');
      },
    };
  },
};

const sealed: Target = {
  name: 'sealed-object',
  covers: ['schemas/recording'],
  maxLength: MAX_SEED + 1024,
  async open() {
    const { objects } = await corpus();
    return {
      seeds: [objects.length <= MAX_SEED ? objects : objects.subarray(objects.length - MAX_SEED)],
      check(input) {
        // `check` is synchronous, so an unexpected error of this promise is thrown from a microtask, where it ends the process.
        let over: unknown;
        readSealed({ session: '01kanar9g0dtjvf0yq516zc20n', startedAt: 1, size: input.length }, (offset, length) => {
          claim(offset >= 0 && length >= 0 && offset + length <= input.length, 'reads stay in the object');
          return Promise.resolve(input.subarray(offset, offset + length));
        })
          .catch((error: unknown) => {
            if (!(error instanceof StenoError)) over = error;
          })
          .finally(() => {
            if (over !== undefined)
              queueMicrotask(() => {
                throw over;
              });
          });
        parsed(() => parseManifest(input));
      },
    };
  },
};

const frames: Target = {
  name: 'zstd-frame',
  covers: ['runtime/zstd', 'schemas/recording/container'],
  maxLength: 4096,
  async open() {
    const zstd = await openZstd();
    // Node.js has zstd from 22.15 on: compare with the reference library then.
    const reference = (zlib as { readonly zstdDecompressSync?: (bytes: Uint8Array) => Buffer }).zstdDecompressSync;
    return {
      seeds: ['', 'x', '[0,"o","hello"]\n'.repeat(20), 'ab'.repeat(9000)]
        .map((text) => zstd.compress(utf8(text), 3))
        .concat(zstd.compress(Buffer.alloc(600_000), 1)),
      check(input) {
        const length = parsed(() => dataFrameLength(input));
        if (length !== undefined) claim(length <= input.length, 'a frame lies in its bytes');
        const content = parsed(() => zstd.decompress(input, 1 << 20));
        if (content === undefined) return;
        claim(
          content.length <= 1 << 20 && content.length === contentSize(input) && content.length <= MAX_COMPRESS_BYTES,
          'the content is as long as the frame says',
        );
        if (reference !== undefined)
          claimEqual(new Uint8Array(reference(input)), new Uint8Array(content), 'the reference library reads the same');
      },
    };
  },
};

const lines: Target = {
  name: 'asciicast',
  covers: ['schemas/recording/line', 'viewer/web/player', 'viewer/api/recording', 'schemas/recording/block'],
  maxLength: 4096,
  words: [
    '{"version":3,"term":{"cols":80,"rows":24}',
    '"steno":{"format":1,"session":"',
    '[0,"o","',
    '[1.5,"r","80x24"]',
    '[0,"k",{"cols":80,"rows":24,"screen":"',
    '"g",{',
    '"s",{"fact":"exec"',
    '\\u001b[',
    '\\ud800',
    '"anchor":true',
  ],
  open: () =>
    Promise.resolve({
      seeds: [
        utf8(
          '{"version":3,"term":{"cols":80,"rows":24},"timestamp":1,"steno":{"format":1,"session":"01kanar9g0dtjvf0yq516zc20n","gateway":"gw-1","counter":1,"started_at":1,"user":"ann","login":"root","node":"web-1"}}\n[0.005,"o","$ "]\n[1,"r","100x30"]\n[0,"x","0"]\n',
        ),
        utf8('[0,"k",{"cols":80,"rows":24,"screen":"\\u001b[1mx"}]\n[0.1,"o","\\r\\n"]\n'),
        utf8('[0,"b",{"stream":"o","data":"/w=="}]\n[2,"g",{"reason":"dropped"}]\n[0,"s",{"fact":"exec","command":"id"}]\n'),
      ],
      check(input) {
        const text = input.toString();
        for (const line of text.split('\n')) {
          parsed(() => parseHeader(line));
          const read = parsed(() => parseLine(line));
          if (read !== null && read !== undefined) {
            const written = encodeLine(read.interval, read);
            claimEqual(parseLine(written.trimEnd()), read, 'a line is read again as it was written');
            claimEqual(peekLine(written), { interval: read.interval, code: read.code }, 'the head of a line says the same');
            if (read.code === 'r') parseSize(read.data);
          }
          const keyframe = parsed(() => parseKeyframe(line));
          if (keyframe !== undefined) claimEqual(parseLine(line)?.data, keyframe, 'a keyframe is a line');
        }
        parsed(() => scanFrame(input, { n: 0, at: 0 }));
        for (const newlines of [false, true]) {
          const { events, until } = parseLines(text, 0, newlines);
          let at = 0;
          for (const event of events) {
            claim(event.at >= at && event.at <= until, 'time does not go back');
            at = event.at;
          }
        }
      },
    }),
};

const eventLog: Target = {
  name: 'event-log',
  covers: [
    'recordings/read/block-reader',
    'recordings/derive/logged-events',
    'schemas/recording/line',
    'schemas/recording/event-places',
    'schemas/kernel/kernel',
  ],
  maxLength: 4096,
  words: [
    '[0,"e",[',
    '2147483649,',
    '"stream":"events"',
    '"exec"',
    '"file"',
    '"kernel"',
    '"end"',
    '"gap"',
    '"success"',
    '"{\\"pid\\":1}"',
    'null,',
    '4294967295',
    '1e308',
    '\\ud800',
  ],
  open() {
    const recorder = new Recorder(new RecordingAuthority().certify('gw-1'), { stream: 'events', session: '01kanar9g0dtjvf0yq516zc20n' });
    const { header } = recorder;
    const row = (index: number, kind: string, more: readonly unknown[]): string =>
      encodeLine(index * 10, { code: 'e', data: [KERNEL_BLOCKS + 1, index, index * 10, kind, ...more] });
    const rows =
      row(0, 'kernel', ['', null, '', '', null, 'recording', '', '', null, '{"mode":"strict"}']) +
      row(2, 'exec', ['/bin/id', 125_640, 'ab'.repeat(32), '', null, 'id -u', '', 'success', null, '{"pid":7,"uid":0}']) +
      row(4, 'connect', ['', null, '', '192.0.2.1', 443, '', '', 'ECONNREFUSED', null, '{"pid":7}']) +
      row(6, 'levitate', ['/ü\u0000', 1, '', '', null, '', '', '', 3, '{}']) +
      row(8, 'kernel', ['', null, '', '', null, 'end', '', '', null, '{}']);
    return Promise.resolve({
      seeds: [
        utf8(encodeHeader(header) + rows),
        utf8(encodeHeader(header)),
        utf8(encodeHeader(header) + row(2, 'gap', ['', null, '', '', null, 'lost', 'kernel_events', '', 9, '{}'])),
      ],
      check(input) {
        const block = parsed(() => new BlockReader(undefined, undefined, 'events').read(input));
        if (block?.header == null) return;
        const { header: found, lines: read } = block;
        const places = new EventPlaces();
        const rising = read.every(({ line }) => line.code === 'e' && places.take(line.data));
        const events = parsed(() => loggedEvents(found, block));
        if (events === undefined) return;
        claim(events.length === read.length, 'a line is a row');
        const { session, node } = found.steno;
        for (const [i, event] of events.entries()) {
          const taken = eventRow.safeParse(event);
          claim(
            taken.success,
            `the event store takes the row: ${taken.error?.issues[0]?.path.join('.')} ${taken.error?.issues[0]?.message}`,
          );
          claim(event.session === session && event.emitter === `agent/${node}`, 'a row is of the session and node that were signed');
          const [place, index] = (read[i]!.line as { readonly data: readonly unknown[] }).data;
          claim(event.block === Number(place) - KERNEL_BLOCKS && event.index === index, 'a row stands in its place');
        }
        claimEqual(loggedEvents(found, block), events, 'the same log makes the same rows');
        if (rising)
          claim(
            new Set(events.map(({ block: n, index }) => `${n}.${index}`)).size === events.length,
            'no two rows of a log that verifies have one place',
          );
      },
    });
  },
};

const filter: Target = {
  name: 'terminal-filter',
  covers: ['cli/terminal-filter'],
  maxLength: 1024,
  words: ['\u001b[', '\u001b]52;c;', '\u001bP', '\u001b\\', '\u001bk', '\u009b', '\u0007', '?1049h', '>4;2m', '\u001b(0', '6n', '\u001b%G'],
  open: () =>
    Promise.resolve({
      seeds: [
        '\u001b[1;38;2;1;2;3mred\u001b[0m',
        '\u001b]0;title\u0007',
        '\u001b[?1049h\u001b[2;3H\u001b[K',
        '\u001bP$qm\u001b\\',
        '\u001bktitle\u001b\\x',
      ].map(utf8),
      check(input) {
        const text = input.toString();
        const out = new TerminalFilter().filter(text);
        const bytewise = new TerminalFilter();
        claimEqual([...text].map((char) => bytewise.filter(char)).join(''), out, 'what passes does not depend on how it arrives');
        claimEqual(new TerminalFilter().filter(out), out, 'no two pieces that pass make a third');
        claim(!/\u001b[^[()*+#78DEHMNOno|}~c]/.test(out), 'only sequences of the list pass');
        claim(
          !/[\u0000-\u0006\u000e-\u001a\u001c-\u001f\u007f-\u009f]/.test(out.replace(/[\u000e\u000f]/g, '')),
          'only controls of the list pass',
        );
      },
    }),
};

export const recordingTargets: readonly Target[] = [container, sealed, frames, lines, eventLog, filter];
