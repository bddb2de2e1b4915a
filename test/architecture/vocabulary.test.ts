/**
 * One word, one meaning: every word in the glossary of ARCHITECTURE.md exists in the code, and no identifier or file name has a
 * banned word, which is unknown in the field or has too many meanings.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
const sources = tracked.filter((file) => /\.tsx?$/.test(file) && existsSync(join(root, file)));

/** Banned words, with the word to use instead. */
const banned: ReadonlyMap<string, string> = new Map([
  ['door', 'listener, front end, entry or escape route'],
  ['doors', 'listeners, entries or escape routes'],
  ['guest', 'connection or handshake'],
  ['guests', 'connections or handshakes'],
  ['knock', 'http-connect'],
  ['farewell', 'last messages'],
  ['heed', 'the verb for what is done'],
  ['mend', 'repair'],
  ['mended', 'repaired'],
  ['books', 'records'],
  ['visitor', "the user's own SQL"],
  ['apart', 'separate, distance or difference'],
]);

/** Files whose identifiers are data: `door` is a stored field of login events, `guest` the name of a role. */
const fixed: readonly RegExp[] = [/^agent\/bypass\//, /^analyzer\/recorder-rules\/bypass\.ts$/, /^authority\/power\/takeover\.test\.ts$/];

/** The identifiers of a source file, without its comments and strings, which may quote any word. */
function identifiersOf(file: string, text: string): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) || ts.isPrivateIdentifier(node)) found.add(node.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest));
  return found;
}

/** `doorOfFile`, `DOOR_PID` and `door-of` alike become their words in lower case. */
function wordsOf(name: string): string[] {
  return name.split(/[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/).map((word) => word.toLowerCase());
}

const complaint = (name: string, word: string): string => `${name}: "${word}" is banned, use ${banned.get(word) ?? ''}`;

describe('the glossary', () => {
  const page = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
  const rows = [...page.matchAll(/^\| \*\*([^*]+)\*\* \| .* \| `(\w+)` in \[`([\w./-]+)`\]\(([\w./-]+)\) \|$/gm)];

  it('has a row for each word, once, in order', () => {
    const words = rows.map(([, word]) => word!);
    expect(words.length).toBeGreaterThan(30);
    expect(words).toEqual([...new Set(words)].sort());
  });

  it.each(rows.map(([, word, identifier, file, link]) => [word!, identifier!, file!, link!] as const))(
    '%s is %s in %s',
    (_word, identifier, file, link) => {
      expect(link).toBe(file);
      expect([...identifiersOf(file, readFileSync(join(root, file), 'utf8'))]).toContain(identifier);
    },
  );
});

describe('banned words', () => {
  it('are in no file name', () => {
    const found = sources.flatMap((file) =>
      wordsOf(file)
        .filter((word) => banned.has(word))
        .map((word) => complaint(file, word)),
    );
    expect(found).toEqual([]);
  });

  it('are in no identifier', () => {
    // Parsing is slow: only files that contain a banned word in some form are parsed.
    const suspect = new RegExp([...banned.keys()].join('|'), 'i');
    const found = sources
      .filter((file) => !fixed.some((path) => path.test(file)))
      .map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))
      .filter(({ text }) => suspect.test(text))
      .flatMap(({ file, text }) =>
        [...identifiersOf(file, text)].flatMap((name) =>
          wordsOf(name)
            .filter((word) => banned.has(word))
            .map((word) => complaint(`${file}: ${name}`, word)),
        ),
      );
    expect(found).toEqual([]);
  });
});
