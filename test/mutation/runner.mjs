/**
 * Runs tests as vitest does, but gives a file that cannot be loaded a failing test. Stryker looks only at tests: otherwise a mutant
 * that breaks the loading of a file, such as the making of a certificate, would count as unnoticed.
 */
// @ts-check
import { TestRunner, test } from 'vitest';

export default class Runner extends TestRunner {
  /** @override @param {string} file @param {import('@vitest/runner').VitestRunnerImportSource} source */
  async importFile(file, source) {
    try {
      await super.importFile(file, source);
    } catch (error) {
      if (source !== 'collect') throw error;
      test('can be loaded', () => {
        throw error;
      });
    }
  }
}
