/** The tables of README.md match the suite. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { cases } from './cases.js';
import { peers } from './peers.js';
import { tables } from './table.js';

const readme = fileURLToPath(new URL('README.md', import.meta.url));
const [start, end] = ['<!-- tables -->\n', '<!-- end of tables -->\n'];

it('README.md has the tables of the code (STENO_UPDATE=1 writes them)', () => {
  const text = readFileSync(readme, 'utf8');
  const [from, to] = [text.indexOf(start) + start.length, text.indexOf(end)];
  if (process.env['STENO_UPDATE'] === '1') writeFileSync(readme, text.slice(0, from) + tables() + text.slice(to));
  else expect(text.slice(from, to)).toBe(tables());
});

it('every exception of a peer names an existing case', () => {
  const names = new Set(cases.map(({ name }) => name));
  expect(peers.flatMap(({ cannot }) => Object.keys(cannot)).filter((name) => !names.has(name))).toEqual([]);
});
