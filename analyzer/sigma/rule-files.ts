/** Reads the rules and their tests in a folder, ordered by name. Tested in rule-files.test.ts. */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_FILE, parseAs } from '#runtime/resources/document.js';
import type { RuleFile } from './rule-set.js';

const MAX_FILES = 20_000;

export interface RuleFolder {
  readonly rules: readonly RuleFile[];
  /** `*.test.yml` */
  readonly tests: readonly RuleFile[];
}

/**
 * A single file is a rule whatever its name. In a folder, every `.yml` and `.yaml` at any depth is read; links are not followed, and
 * names that begin with a dot are skipped. Throws NOT_FOUND, TOO_LARGE, RULES_TOO_LARGE.
 */
export function readRuleFiles(path: string): RuleFolder {
  const names: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const name = join(folder, entry.name);
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) walk(name);
      else if (entry.isFile() && /\.ya?ml$/.test(entry.name)) names.push(name);
      if (names.length > MAX_FILES) throw new StenoError('RULES_TOO_LARGE', `${path} has more than ${MAX_FILES} files`);
    }
  };
  let isFolder;
  try {
    isFolder = statSync(path).isDirectory();
  } catch {
    throw new StenoError('NOT_FOUND', path);
  }
  if (!isFolder) return { rules: [readRuleFile(path)], tests: [] };
  walk(path);
  const files = names.sort().map(readRuleFile);
  const isTest = ({ name }: RuleFile): boolean => /\.test\.ya?ml$/.test(name);
  return { rules: files.filter((file) => !isTest(file)), tests: files.filter(isTest) };
}

function readRuleFile(name: string): RuleFile {
  if (statSync(name).size > MAX_FILE) throw new StenoError('TOO_LARGE', `${name} is over 1 MiB`);
  return { name, text: readFileSync(name, 'utf8') };
}

const placeholders = z.record(z.string().max(256), z.array(z.string().max(4096)).max(1_000));

/** Values of `%name%`: a YAML map of names to lists of texts. */
export function readPlaceholders(path: string): ReadonlyMap<string, readonly string[]> {
  let text;
  try {
    text = readRuleFile(path).text;
  } catch (error) {
    throw error instanceof StenoError ? error : new StenoError('NOT_FOUND', path);
  }
  return new Map(Object.entries(parseAs(text, path, placeholders)));
}
