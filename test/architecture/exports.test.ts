/**
 * Every export is used by another file: a value that only its own file uses should be private, and an unused value is dead.
 * A type may be exported together with the function that takes or returns it, so only unused types are reported.
 */
import { readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts', '*.tsx', '*.mjs', 'bin/*'], {
  cwd: root,
  encoding: 'utf8',
})
  .trim()
  .split('\n');

const declaration = /^export (?:declare |abstract |async )*(const enum|const|let|function\*?|class|interface|type|enum) +(\w+)/gm;

it('every exported value is named by another file, every exported type by any line but its own', () => {
  const files = new Map(tracked.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
  const named = new Map<string, number>();
  for (const text of files.values())
    for (const word of new Set(text.match(/[A-Za-z_$][\w$]*/g))) named.set(word, (named.get(word) ?? 0) + 1);
  const unused: string[] = [];
  for (const [file, text] of files) {
    if (file.endsWith('.d.ts')) continue;
    for (const [, kind, name] of text.matchAll(declaration)) {
      if (named.get(name!) !== 1) continue;
      const isType = kind === 'interface' || kind === 'type';
      if (!isType || text.match(new RegExp(`\\b${name}\\b`, 'g'))!.length === 1) unused.push(`${file}: ${name}`);
    }
  }
  expect(unused).toEqual([]);
});
