/**
 * Files that list SHA-256: what `sha256sum` prints (also with `--tag`), one hash on a line, or a CSV with a column SHA-256 as the NSRL's
 * exports have. Read as a stream, line by line; a line that is none of these is an error with its number. Tested in hash-file.test.ts.
 */
import { createReadStream } from 'node:fs';
import { MAX_HASHES } from '#schemas/api/detection/hashes.js';
import { StenoError } from '#schemas/base/errors.js';

const MAX_LINE = 65_536;
const plain = /^[0-9a-f]{64}$/i;
/** A backslash first: the name is escaped. Two blanks, or a blank and an asterisk, before the name. */
const summed = /^\\?([0-9a-f]{64})[ \t][ \t*]?\S/i;
const tagged = /^\\?SHA256 \(.*\) = ([0-9a-f]{64})$/i;

/** Distinct hashes in ascending order, as lower-case hex. Throws HASHES_INVALID, TOO_MANY and what the file system refuses. */
export async function readHashFile(path: string): Promise<readonly string[]> {
  const found = new Set<string>();
  let number = 0;
  let column: number | null = null;
  for await (const line of linesOf(path)) {
    number += 1;
    const text = number === 1 ? line.replace(/^\ufeff/, '') : line;
    if (text.trim() === '' || text.startsWith('#')) continue;
    if (number === 1 && column === null && plain.exec(text.trim()) === null) {
      column = columnOf(text);
      if (column !== null) continue;
    }
    const hash = column === null ? hashOf(text) : (cellsOf(text)[column] ?? '').trim();
    // NSRL leaves the column empty for files of which it has other digests only.
    if (column !== null && hash === '') continue;
    if (hash === null || !plain.test(hash)) throw new StenoError('HASHES_INVALID', `${path}:${number}: has no SHA-256`);
    found.add(hash.toLowerCase());
    if (found.size > MAX_HASHES) throw new StenoError('TOO_MANY', `over ${MAX_HASHES} different hashes in ${path}`);
  }
  return [...found].sort();
}

async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  let number = 0;
  for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: 1 << 18 })) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      number += 1;
      yield line.replace(/\r$/, '');
    }
    if (rest.length > MAX_LINE) throw new StenoError('HASHES_INVALID', `${path}:${number + 1}: a line of over ${MAX_LINE} characters`);
  }
  if (rest !== '') yield rest.replace(/\r$/, '');
}

function hashOf(line: string): string | null {
  const text = line.trim();
  return plain.test(text) ? text : (summed.exec(line)?.[1] ?? tagged.exec(text)?.[1] ?? null);
}

/** Finds the column of SHA-256 in a CSV's header. */
function columnOf(header: string): number | null {
  const at = cellsOf(header).findIndex((cell) => /^sha-?_?256$/i.test(cell.trim()));
  return at < 0 ? null : at;
}

/** RFC 4180, of one line. */
function cellsOf(line: string): readonly string[] {
  const cells: string[] = [];
  for (const [, quoted, bare] of line.matchAll(/(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/g)) {
    cells.push(quoted === undefined ? (bare ?? '') : quoted.replaceAll('""', '"'));
  }
  return cells;
}
