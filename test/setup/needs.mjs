/**
 * Finds the programs that a test file starts in its source and in the test support that it imports, to any depth. Product
 * code does not count: test support that starts a whole Steno names the programs that Steno starts, in a comment
 * `@needs NAME, NAME`. A heuristic that saves waiting for tests that cannot pass, not a proof. Tested in setup.test.ts.
 */
// @ts-check
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingPrograms, programs } from './programs.mjs';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Tests and test support. @param {string} file absolute */
export const isTestSupport = (file) =>
  /\.test\.tsx?$|\/testing\/|\/testkit\.ts$|\/(?:conformance|openssh-oracle|s3server|faulty|trial)\.ts$/.test(file) ||
  relative(root, file).startsWith('test/');

/** @param {string} file @returns {string[]} */
function importsOf(file) {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+|#[^']+)'/g)].flatMap(([, path = '']) => {
    const bare = (path.startsWith('#') ? join(root, path.slice(1)) : join(dirname(file), path)).replace(/\.js$/, '');
    return [`${bare}.ts`, `${bare}.tsx`, bare].filter((candidate) => /\.\w+$/.test(candidate) && existsSync(candidate)).slice(0, 1);
  });
}

/** Names of programs, in the order of the table. @param {string} testFile absolute @returns {string[]} */
export function needsOf(testFile) {
  const seen = new Set();
  const found = new Set();
  const visit = (/** @type {string} */ file) => {
    if (seen.has(file) || !isTestSupport(file)) return;
    seen.add(file);
    const text = readFileSync(file, 'utf8');
    for (const program of programs) if (program.used.test(text)) found.add(program.name);
    for (const [, names = ''] of text.matchAll(/@needs ([^\n*]+)/g)) for (const name of names.split(',')) found.add(name.trim());
    for (const next of importsOf(file)) visit(next);
  };
  visit(testFile);
  return programs.map((program) => program.name).filter((name) => found.has(name));
}

/** Programs of the test file that are missing on this machine. @param {string} testFile @returns {string[]} */
export function missingFor(testFile) {
  const missing = new Set(missingPrograms().map((program) => program.name));
  return missing.size === 0 ? [] : needsOf(testFile).filter((name) => missing.has(name));
}

/** Every test file of the repository. @returns {string[]} absolute paths */
export function testFiles() {
  /** @type {string[]} */
  const found = [];
  const walk = (/** @type {string} */ folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name === 'node_modules' || entry.name === 'dist' || entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) walk(join(folder, entry.name));
      else if (/\.test\.tsx?$/.test(entry.name)) found.push(join(folder, entry.name));
    }
  };
  walk(root);
  return found.sort();
}
