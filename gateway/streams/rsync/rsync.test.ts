import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { FileFact } from '#schemas/recording/line.js';
import { Bench, bytewise, damaged, noise, pattern, ragged, replay, sha256Of } from '../../testing/transcript.js';

const bench = new Bench();
afterAll(() => bench.remove());
const p = (...names: string[]): string => bench.path(...names);
const names = ['a', 'a-b', 'a.c', 'Z', 'b/x', 'b/y/z', 'b-c/x', 'c/empty', 'with blank', 'ü'];
mkdirSync(p('tree', 'b', 'y'), { recursive: true });
mkdirSync(p('tree', 'b-c'));
mkdirSync(p('tree', 'c', 'none'), { recursive: true });
names.forEach((name, i) => writeFileSync(p('tree', name), name === 'c/empty' ? '' : pattern(3 ** i + 10, i)));
symlinkSync('a', p('tree', 'link'));
linkSync(p('tree', 'a'), p('tree', 'hard'));
const rsync = (...args: string[]) => bench.run('rsync', ['-e', bench.tap, ...args]);
beforeEach(() => rmSync(p('out'), { recursive: true, force: true }));

type Row = readonly [string, string, number | undefined, string | undefined, string];
const rows = (facts: readonly FileFact[]): Row[] =>
  facts
    .filter((fact) => fact.operation === 'read' || fact.operation === 'write')
    .map((fact): Row => [fact.operation, fact.path, fact.size, fact.sha256, fact.outcome])
    .sort();
const expected = (operation: string, root: string, list = names): Row[] =>
  list.map((name): Row => [operation, join(root, name), readFileSync(p('tree', name)).length, sha256Of(p('tree', name)), 'success']).sort();
const all = [...names, 'hard'];

describe('rsync with rsync --server', () => {
  test.each([
    ['-r'],
    ['-a'],
    ['-a', '--no-inc-recursive'],
    ['-a', '--delete'],
    ['-avi', '--delete-after'],
    ['-rt', '--checksum'],
    ['-a', '--numeric-ids'],
    ['-aU'],
    ['-rs'],
    ['-a', '--protocol=31'],
    ['-a', '--protocol=30'],
    ['-a', '--protocol=29'],
    ['-rlt', '--protocol=28'],
    ['-a', '--protocol=27', '--no-D'],
    ['-a', '--checksum-choice=sha1'],
    ['-am'],
    ['-a', '--whole-file', '--inplace'],
  ])('to the node and back with %s %s', async (...options: string[]) => {
    const up = await rsync(...options, `${p('tree')}/`, `host:${p('out')}`);
    expect(up.code, up.output).toBe(0);
    const seenUp = replay(up, ragged(1));
    expect(seenUp.gaps).toEqual([]);
    expect(rows(seenUp.facts)).toEqual(expected('write', p('out'), all));
    rmSync(p('out'), { recursive: true });
    const down = await rsync(...options, `host:${p('tree')}`, `${p('out')}/`);
    expect(down.code, down.output).toBe(0);
    const seenDown = replay(down, ragged(2));
    expect(seenDown.gaps).toEqual([]);
    expect(rows(seenDown.facts)).toEqual(expected('read', p('tree'), all));
  });

  test('byte by byte', async () => {
    expect(rows(replay(await rsync('-a', `${p('tree')}/`, `host:${p('out')}`), bytewise).facts)).toEqual(expected('write', p('out'), all));
  });

  test('hard links are sent once; made links and folders are facts', async () => {
    const { facts } = replay(await rsync('-aH', p('tree'), `host:${p('out')}/`));
    expect(rows(facts)).toHaveLength(names.length);
    const links = facts.filter((fact) => fact.operation === 'link').flatMap((fact) => [fact.path, fact.target]);
    expect(links.sort()).toEqual([p('out', 'tree', 'a'), p('out', 'tree', 'hard')]);
    expect(facts).toContainEqual(expect.objectContaining({ operation: 'symlink', path: p('out', 'tree', 'link') }));
    expect(facts).toContainEqual(expect.objectContaining({ operation: 'mkdir', path: p('out', 'tree', 'b') }));
  });

  test('a single file: the path is sure only where the command line says so', async () => {
    const one = replay(await rsync(p('tree', 'a'), `host:${p('one')}`));
    expect(one.facts).toEqual([
      expect.objectContaining({
        operation: 'write',
        path: p('one'),
        size: 11,
        sha256: sha256Of(p('tree', 'a')),
        note: 'sent as a: below the path if that is a directory',
      }),
    ]);
    mkdirSync(p('out'));
    const into = replay(await rsync(p('tree', 'a'), `host:${p('out')}/`));
    expect(into.facts).toEqual([expect.objectContaining({ path: p('out', 'a') })]);
    const several = replay(await rsync(`host:${p('tree', 'a')}`, `:${p('tree', 'b')}/x`, p('out')));
    expect(several.facts.map((fact) => fact.path)).toEqual([p('tree', 'a'), p('tree', 'b', 'x')]);
    const relative = replay(await rsync('-R', `host:${p('tree', 'b', 'x')}`, p('out')));
    expect(relative.facts.map((fact) => fact.path)).toEqual([p('tree', 'b', 'x')]);
    const relativeUp = replay(await rsync('-R', `${bench.folder}/./tree/b/x`, `host:${p('out')}`));
    expect(relativeUp.facts.filter((fact) => fact.operation === 'write').map((fact) => fact.path)).toEqual([p('out', 'tree', 'b', 'x')]);
    const absolute = replay(await rsync('-R', p('tree', 'b', 'x'), `host:${p('out')}/`));
    expect(absolute.facts.filter((fact) => fact.operation === 'write').map((fact) => fact.path)).toEqual([p('out') + p('tree', 'b', 'x')]);
    writeFileSync(p('names'), 'b/x\nZ\n');
    const chosen = replay(await rsync(`--files-from=${p('names')}`, `host:${p('tree')}`, p('out3')));
    expect(chosen.facts.map((fact) => fact.path).sort()).toEqual([p('tree', 'Z'), p('tree', 'b', 'x')]);
    const chosenUp = replay(await rsync(`--files-from=${p('names')}`, p('tree'), `host:${p('out4')}`));
    expect(
      chosenUp.facts
        .filter((fact) => fact.operation === 'write')
        .map((fact) => fact.path)
        .sort(),
    ).toEqual([p('out4', 'Z'), p('out4', 'b', 'x')]);
  });

  test('what changed since is sent as blocks: size, no digest, and why', async () => {
    writeFileSync(p('delta'), pattern(400_000));
    await rsync(p('delta'), `host:${p('delta2')}`);
    writeFileSync(p('delta'), Buffer.concat([pattern(400_000), Buffer.from('more')]));
    const { facts } = replay(await rsync(p('delta'), `host:${p('delta2')}`), ragged(3));
    expect(facts).toHaveLength(1);
    expect(facts[0]).toMatchObject({
      operation: 'write',
      path: p('delta2'),
      size: 400_004,
      outcome: 'success',
      note: expect.stringMatching(/^blocks of the old file were used/) as string,
    });
    expect(facts[0]).not.toHaveProperty('sha256');
    writeFileSync(p('delta'), Buffer.concat([pattern(400_000), Buffer.from('more and more')]));
    const appended = replay(await rsync('--append', p('delta'), `host:${p('delta2')}`));
    expect(appended.facts[0]).toMatchObject({ size: 400_013, note: expect.stringMatching(/^appended/) as string });
  });

  test.each(['zstd', 'lz4', 'zlibx', 'zlib', ''])('compressed with %s: size, no digest, and why', async (choice) => {
    const options = choice === '' ? ['-az'] : ['-az', `--compress-choice=${choice}`];
    const { facts, gaps } = replay(await rsync(...options, `${p('tree')}/`, `host:${p('out')}`), ragged(4));
    expect(gaps).toEqual([]);
    expect(rows(facts)).toEqual(
      expected('write', p('out'), all).map(([operation, path, size, , outcome]) => [operation, path, size, undefined, outcome]),
    );
    expect(facts.find((fact) => fact.operation === 'write')?.note).toMatch(
      new RegExp(`compressed with ${choice === '' ? 'zstd' : choice}`),
    );
  });

  test('deleted files, listings, dry runs and missing sources', async () => {
    mkdirSync(p('out'));
    writeFileSync(p('out', 'old'), 'x');
    const removed = replay(await rsync('-av', '--delete', `${p('tree')}/`, `host:${p('out')}`));
    expect(removed.facts).toContainEqual(expect.objectContaining({ operation: 'remove', path: p('out', 'old') }));
    const listed = replay(await rsync('-r', '--list-only', `host:${p('tree')}/`));
    expect(listed.facts).toEqual([expect.objectContaining({ operation: 'list', path: `${p('tree')}/`, outcome: 'success' })]);
    const dry = replay(await rsync('-an', `${p('tree')}/`, `host:${p('elsewhere')}`));
    expect(rows(dry.facts)).toEqual([]);
    const absent = replay(await rsync(`host:${p('absent')}`, p('out')));
    expect(absent.facts).toContainEqual(expect.objectContaining({ operation: 'read', path: p('absent'), outcome: 'failure' }));
    const same = replay(await rsync('-a', `${p('tree')}/`, `host:${p('out')}`));
    expect(rows(same.facts)).toEqual([]);
  });

  test('what is not followed is one fact with the path of the command', async () => {
    const { facts } = replay(await rsync('-aX', `${p('tree')}/`, `host:${p('out')}`));
    expect(facts).toEqual([
      {
        fact: 'file',
        protocol: 'rsync',
        operation: 'write',
        path: p('out'),
        outcome: 'unfinished',
        note: 'files not followed from here on: extended attributes are sent along',
      },
    ]);
  });

  test('10,000 small files in one folder, and a large one', async () => {
    mkdirSync(p('many'));
    const time = new Date(1_700_000_000_000);
    for (let i = 0; i < 10_000; i++) writeFileSync(p('many', `f${i}`), `content of ${i}`);
    writeFileSync(p('many', 'large'), pattern(30_000_001));
    utimesSync(p('many', 'large'), time, time);
    const { facts, gaps } = replay(await rsync('-r', p('many'), `host:${p('out')}/`), ragged(5));
    expect(gaps).toEqual([]);
    const written = facts.filter((fact) => fact.operation === 'write');
    expect(written).toHaveLength(10_001);
    for (const fact of written.filter((_, i) => i % 97 === 0 || i === 10_000))
      expect([fact.path, fact.sha256]).toEqual([fact.path, sha256Of(fact.path)]);
  });
});

test('hostile bytes never throw', async () => {
  const up = await rsync('-a', `${p('tree')}/`, `host:${p('out')}`);
  const down = await rsync('-a', `host:${p('tree')}`, p('out2'));
  for (let seed = 0; seed < 150; seed++) {
    replay(damaged(up, seed), ragged(seed));
    replay(damaged(down, seed), ragged(seed));
  }
  for (let seed = 0; seed < 30; seed++) expect(replay(noise(up.kind, seed)).facts).toHaveLength(1);
});
