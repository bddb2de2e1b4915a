/**
 * How fast blocks become rows, without stores: `npx tsc -b bench && node dist/bench/projection.js`.
 */
import { BlockReader } from '#recordings/read/block-reader.js';
import { Projection } from '#recordings/derive/projection.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';

const identity = new RecordingAuthority().certify('gw-1');
const word = (i: number): string => ((i * 2654435761) >>> 0).toString(36);
const loads: readonly [string, (recorder: Recorder) => void][] = [
  [
    'log lines, 32 KiB a line',
    (recorder) => {
      let i = 0;
      for (let n = 0; n < 600; n++) {
        let text = '';
        while (text.length < 32_000) text += `2026-01-31T12:00:00 host service[${i++}]: request ${word(i)} took ${i % 977} ms\r\n`;
        recorder.output(10, text);
      }
    },
  ],
  [
    'yes',
    (recorder) => {
      for (let n = 0; n < 600; n++) recorder.output(10, 'y\r\n'.repeat(8000));
    },
  ],
  [
    'typing, one key a line',
    (recorder) => {
      for (let n = 0; n < 40_000; n++) recorder.input(50, 'x').output(2, n % 30 === 29 ? '\r\n$ ' : 'x');
    },
  ],
  [
    'full-screen redraws',
    (recorder) => {
      for (let n = 0; n < 4000; n++)
        recorder.output(
          50,
          `\x1b[H${Array.from({ length: 24 }, (_, row) => `${row} \x1b[32m${word(n * 24 + row)}\x1b[m process of user ${row}\x1b[K`).join('\r\n')}`,
        );
    },
  ],
  [
    'colours without end',
    (recorder) => {
      for (let n = 0; n < 400; n++) recorder.output(10, Array.from({ length: 2000 }, (_, i) => `\x1b[3${i % 8}m${i}\x1b[J`).join(''));
    },
  ],
];
for (const [name, load] of loads) {
  const recorder = new Recorder(identity);
  load(recorder);
  recorder.close();
  const blocks = recorder.made.flatMap((made) => (made.kind === 'block' ? [made.content] : []));
  const bytes = blocks.reduce((sum, { length }) => sum + length, 0);
  const reader = new BlockReader();
  const projection = new Projection(recorder.header);
  const start = performance.now();
  let rows = 0;
  for (const content of blocks) rows += projection.block(reader.read(content)).screen.length;
  const ms = performance.now() - start;
  console.log(
    `${name}: ${(bytes / 1e3 / ms).toFixed(1)} MB/s, ${((blocks.length / ms) * 1e3).toFixed(0)} blocks/s, ${rows} rows of ${(bytes / 1e6).toFixed(1)} MB`,
  );
}
