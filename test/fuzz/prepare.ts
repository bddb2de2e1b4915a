/**
 * Writes the input of the guided fuzzer, `FOLDER/TARGET/seeds/` and `FOLDER/TARGET/words` (a libFuzzer dictionary), and prints a
 * line of JSON for each target: its name, `covers` and `maxLength`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { targets } from './targets.js';

const folder = process.argv[2]!;
for (const { name, covers, maxLength, words = [], open } of targets) {
  const seeds = join(folder, name, 'seeds');
  mkdirSync(seeds, { recursive: true });
  (await open()).seeds.forEach((seed, i) => writeFileSync(join(seeds, `${i}`), seed));
  const escaped = (word: string): string =>
    [...Buffer.from(word)]
      .map((byte) =>
        byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
          ? String.fromCharCode(byte)
          : `\\x${byte.toString(16).padStart(2, '0')}`,
      )
      .join('');
  writeFileSync(join(folder, name, 'words'), words.map((word) => `"${escaped(word)}"\n`).join(''));
  process.stdout.write(`${JSON.stringify({ name, covers, maxLength })}\n`);
}
process.exit(0);
