/**
 * Runs tests as vitest does, but does not load files that start a program which is missing on this machine (needs.mjs).
 * Each such file counts as one skipped test that names the program.
 */
// @ts-check
import { TestRunner, test } from 'vitest';
import { missingFor } from './needs.mjs';

export default class Runner extends TestRunner {
  /** @override @param {string} file @param {import('@vitest/runner').VitestRunnerImportSource} source */
  importFile(file, source) {
    const missing = source === 'collect' ? missingFor(file) : [];
    if (missing.length === 0) return super.importFile(file, source);
    test.skip(`needs ${missing.join(', ')}`, () => undefined);
    return undefined;
  }
}
