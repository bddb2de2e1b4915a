/** Every hunk of the patch of ssh2 is explained, and every explanation is of a hunk. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const page = readFileSync(join(root, 'patches/README.md'), 'utf8');

/** `FILE:LINE` of each hunk, the line being that of the original. */
function hunksOf(patch: string): readonly string[] {
  let file = '';
  return patch.split('\n').flatMap((line) => {
    file = /^--- a\/node_modules\/ssh2\/lib\/(.+)$/.exec(line)?.[1] ?? file;
    const hunk = /^@@ -(\d+)/.exec(line);
    return hunk === null ? [] : [`${file}:${hunk[1]}`];
  });
}

const patches = readdirSync(join(root, 'patches')).filter((name) => name.endsWith('.patch'));

describe('patches/README.md', () => {
  it('names every hunk, and nothing that is no hunk', () => {
    const hunks = patches.flatMap((name) => hunksOf(readFileSync(join(root, 'patches', name), 'utf8')));
    const named = [...page.matchAll(/`([\w./]+\.js:\d+)`/g)].map(([, name]) => name!);
    expect(hunks.length).toBeGreaterThan(0);
    expect([...new Set(named)].sort()).toEqual([...hunks].sort());
  });

  it('is about the ssh2 that is installed; else: rm -rf node_modules/ssh2 && npm install', () => {
    for (const name of patches) {
      let file = '';
      for (const line of readFileSync(join(root, 'patches', name), 'utf8').split('\n')) {
        if (line.startsWith('+++ b/')) file = readFileSync(join(root, line.slice('+++ b/'.length)), 'utf8');
        else if (line.startsWith('+') && !file.includes(line.slice(1))) expect.fail(`not applied: ${line}`);
      }
    }
  });

  it('names a patch for the version that is installed', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules/ssh2/package.json'), 'utf8')) as { version: string };
    expect(patches).toEqual([`ssh2+${version}.patch`]);
  });

  it('names tests that exist', () => {
    const tests = [...page.matchAll(/`([\w./-]+\.test\.ts)`/g)].map(([, path]) => path!);
    expect(tests.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    // A topic says which test covers it, or that none does.
    for (const topic of page.split(/^## /m).slice(1)) expect(topic).toMatch(/Tests?:|No test covers it/);
  });
});
