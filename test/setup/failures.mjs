/**
 * Prints failures when their file ends. vitest's own reporter prints them at the end of the run, which a run that hits a time
 * limit never reaches.
 */
// @ts-check
import { relative } from 'node:path';
import { root } from './needs.mjs';

/** Limit for the text of an error, in characters: it may contain a whole log. */
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
    // The stack of a timed-out test does not contain its message.
    const text = stack.includes(message) ? stack : `${message}\n${stack}`;
    process.stdout.write(`failed: ${where}\n${text.slice(0, MOST)}\n`);
  }
}
