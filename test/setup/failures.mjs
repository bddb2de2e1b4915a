/**
 * Prints why a test failed when its file ends. vitest's own reporter says it at the end of the run, which a run that is
 * cut off by a time limit never reaches.
 */
// @ts-check
import { relative } from 'node:path';
import { root } from './needs.mjs';

/** An error is printed to this many characters: a whole log may hang on it. */
const MOST = 4_000;

export default class Failures {
  /** @param {import('vitest/node').TestModule} module */
  onTestModuleEnd(module) {
    const file = relative(root, module.moduleId);
    print(file, module.errors());
    for (const suite of module.children.allSuites()) print(`${file}: ${suite.fullName}`, suite.errors());
    for (const test of module.children.allTests('failed')) print(`${file}: ${test.fullName}`, test.result().errors ?? []);
  }
}

/**
 * @param {string} where
 * @param {readonly { message: string, stack?: string }[]} errors
 */
function print(where, errors) {
  for (const { stack = '', message } of errors) {
    // The stack of a test that took too long does not say so.
    const text = stack.includes(message) ? stack : `${message}\n${stack}`;
    process.stdout.write(`failed: ${where}\n${text.slice(0, MOST)}\n`);
  }
}
