/** The mount namespace of the tests, in which root's shells have empty start-up files. */
import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';

const module = join(new URL('./', import.meta.url).pathname, 'start-up-files.mjs');
const { START_UP_FILES } = (await import(pathToFileURL(module).href)) as { START_UP_FILES: readonly string[] };
const { uid, homedir } = userInfo();

describe.skipIf(uid !== 0)('a shell of root that a test starts', () => {
  it('finds empty start-up files', () => {
    const present = START_UP_FILES.map((name) => join(homedir, name)).filter((file) => existsSync(file));
    expect(present.filter((file) => readFileSync(file, 'utf8') !== '')).toEqual([]);
  });
});
