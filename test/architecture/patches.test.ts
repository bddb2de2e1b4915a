/** patches/README.md explains every hunk of the ssh2 patch, and no hunk that does not exist. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const page = readFileSync(join(root, 'patches/README.md'), 'utf8');

/** `FILE:LINE` of each hunk, with the line in the original. */
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
  it('names every hunk and nothing else', () => {
    const hunks = patches.flatMap((name) => hunksOf(readFileSync(join(root, 'patches', name), 'utf8')));
    const named = [...page.matchAll(/`([\w./]+\.js:\d+)`/g)].map(([, name]) => name!);
    expect(hunks.length).toBeGreaterThan(0);
    expect([...new Set(named)].sort()).toEqual([...hunks].sort());
  });

  it('is about the installed ssh2; if not: rm -rf node_modules/ssh2 && npm install', () => {
    for (const name of patches) {
      let file = '';
      for (const line of readFileSync(join(root, 'patches', name), 'utf8').split('\n')) {
        if (line.startsWith('+++ b/')) file = readFileSync(join(root, line.slice('+++ b/'.length)), 'utf8');
        else if (line.startsWith('+') && !file.includes(line.slice(1))) expect.fail(`not applied: ${line}`);
      }
    }
  });

  it('names a patch for the installed version', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules/ssh2/package.json'), 'utf8')) as { version: string };
    expect(patches).toEqual([`ssh2+${version}.patch`]);
  });

  it('names tests that exist', () => {
    const tests = [...page.matchAll(/`([\w./-]+\.test\.ts)`/g)].map(([, path]) => path!);
    expect(tests.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    // Each topic names its test or says that there is none.
    for (const topic of page.split(/^## /m).slice(1)) expect(topic).toMatch(/Tests?:|No test covers it/);
  });
});
