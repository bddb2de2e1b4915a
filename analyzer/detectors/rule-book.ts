/**
 * The rules in force from files: those that come with Steno, those of a folder, or both, read strictly.
 *
 * A rule's version is part of the identity of its findings: for rules in files it is the day of `modified`, otherwise of `date`, as a
 * number (20260131), otherwise 1. `hash` identifies the whole set and is written to each session's mark. Tested in rule-book.test.ts.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StenoError } from '#schemas/base/errors.js';
import { readRuleFiles } from '../sigma/rule-files.js';
import { loadRules } from '../sigma/rule-set.js';
import type { RuleFile, RuleSet } from '../sigma/rule-set.js';

export interface RuleBook extends RuleSet {
  readonly hash: string;
  readonly files: number;
  /** Versions that the authority keeps for its rules, by rule id. */
  readonly versions?: ReadonlyMap<string, number>;
}

/** Works from the sources and from `dist/`; null if Steno was installed without them. */
export function builtInRules(): string | null {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const rules = join(folder, 'analyzer', 'rules');
    if (existsSync(join(folder, 'package.json'))) return existsSync(rules) ? rules : null;
    if (folder === dirname(folder)) return null;
  }
}

/** Throws NOT_FOUND, TOO_LARGE, RULES_TOO_LARGE, and RULE_INVALID for the first rule that is not valid. */
export function readRuleBook(folders: readonly string[]): RuleBook {
  const files = readFolders(folders);
  return { ...loadRules(files), hash: hashOf(files), files: files.length };
}

/** Reads the rule files of the folders. Files that have not changed since `before` are the same objects, which `loadRules` does not parse again. */
export function readFolders(folders: readonly string[], before: readonly RuleFile[] = []): readonly RuleFile[] {
  const known = new Map(before.map((file) => [file.name, file]));
  const files: readonly RuleFile[] = folders
    .flatMap((folder) => readRuleFiles(folder).rules)
    .map((file) => (known.get(file.name)?.text === file.text ? known.get(file.name)! : file));
  const set = loadRules(files);
  const [first] = set.faults;
  if (first !== undefined) {
    const more = set.faults.length === 1 ? '' : `; and ${set.faults.length - 1} more`;
    throw new StenoError('RULE_INVALID', `${first.detail ?? ''}${more}`);
  }
  return files;
}

export function hashOf(files: readonly Pick<RuleFile, 'text'>[]): string {
  const hash = createHash('sha256');
  for (const { text } of files) hash.update(createHash('sha256').update(text).digest());
  return hash.digest('hex').slice(0, 16);
}
