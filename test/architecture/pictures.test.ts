import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documented } from '../../viewer/api/testing/pictures.js';

const root = new URL('../../', import.meta.url).pathname;
const docs = join(root, 'docs');
const made = readdirSync(docs).filter((name) => name.endsWith('.png'));
const pages = ['README.md', ...readdirSync(docs).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : []))].map((name) =>
  readFileSync(join(root, name), 'utf8'),
);
const tests = readdirSync(join(root, 'viewer/api'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => readFileSync(join(root, 'viewer/api', name), 'utf8'));

test('a test makes every picture in docs/, and docs/ has no others', () => {
  expect(made.sort()).toEqual(Object.values(documented).sort());
  for (const name of Object.keys(documented))
    expect(
      tests.some((text) => text.includes(`icture('${name}')`)),
      name,
    ).toBe(true);
});

test('every picture is shown on a page with a text alternative, and has the size that tests take', () => {
  for (const name of made) {
    expect(
      pages.some((text) => new RegExp(`!\\[[^\\]]{20,}\\]\\((?:docs/)?${name}\\)`).test(text)),
      name,
    ).toBe(true);
    const png = readFileSync(join(docs, name));
    expect([png.subarray(1, 4).toString(), png.readUInt32BE(16), png.readUInt32BE(20)], name).toEqual(['PNG', 1440, 900]);
  }
});
