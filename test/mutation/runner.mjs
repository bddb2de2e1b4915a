/**
 * Runs tests as vitest does, but a file that cannot be loaded has a test that fails. Stryker looks at tests alone: it takes a mutant
 * that breaks what a file makes while it is loaded, such as an encoded certificate, for one that nothing notices.
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
