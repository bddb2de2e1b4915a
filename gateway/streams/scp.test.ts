import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { Bench, bytewise, damaged, noise, pattern, ragged, replay, sha256, sha256Of } from '../testing/transcript.js';

const bench = new Bench();
afterAll(() => bench.remove());
const p = (...names: string[]): string => bench.path(...names);
writeFileSync(p('big'), pattern(1_000_003));
writeFileSync(p('one two'), 'hello\n');
writeFileSync(p('empty'), '');
mkdirSync(p('tree', 'sub'), { recursive: true });
writeFileSync(p('tree', 'a'), 'aaa');
writeFileSync(p('tree', 'sub', 'b'), '');
writeFileSync(p('tree', 'sub', 'c'), pattern(70_000));
mkdirSync(p('into'));
const scp = (...args: string[]) => bench.run('scp', ['-O', '-S', bench.tap, ...args]);

describe('scp -O with scp', () => {
  test('an upload, however the bytes are cut', async () => {
    const seen = await scp('-p', p('big'), `host:${p('up')}`);
    for (const cut of [undefined, ragged(1), bytewise]) {
      const { facts, gaps } = replay(seen, cut);
      expect(gaps).toEqual([]);
      expect(facts).toEqual([
        {
          fact: 'file',
          protocol: 'scp',
          operation: 'write',
          path: p('up'),
          size: 1_000_003,
          mode: 0o644,
          sha256: sha256Of(p('big')),
          outcome: 'success',
          note: 'sent as big: below the path if that is a directory',
        },
      ]);
    }
  });

  test('several files into a directory, one with a blank in its name, one empty', async () => {
    const { facts, gaps } = replay(await scp(p('big'), p('one two'), p('empty'), `host:${p('into')}`), ragged(2));
    expect(gaps).toEqual([]);
    expect(facts.map(({ path, size, sha256: digest, outcome }) => [path, size, digest, outcome])).toEqual(
      [
        ['big', 1_000_003],
        ['one two', 6],
        ['empty', 0],
      ].map(([name, size]) => [p('into', String(name)), size, sha256Of(p(String(name))), 'success']),
    );
  });

  test('a tree down and up has every path', async () => {
    const down = replay(await scp('-r', `host:${p('tree')}`, p('tree2')), ragged(3));
    expect(down.gaps).toEqual([]);
    const files = (facts: typeof down.facts) =>
      facts
        .filter((fact) => fact.sha256 !== undefined)
        .map(({ operation, path, size, sha256: digest }) => [operation, path, size, digest])
        .sort();
    const expected = (operation: string, root: string) =>
      [
        ['a', 3],
        ['sub/b', 0],
        ['sub/c', 70_000],
      ]
        .map(([name, size]) => [operation, `${root}/${name}`, size, sha256Of(p('tree', String(name)))])
        .sort();
    expect(files(down.facts)).toEqual(expected('read', p('tree')));
    expect(down.facts.filter((fact) => fact.operation === 'list').map((fact) => fact.path)).toEqual([p('tree'), p('tree', 'sub')]);
    const up = replay(await scp('-r', p('tree'), `host:${p('into')}/`), ragged(4));
    expect(files(up.facts)).toEqual(expected('write', p('into', 'tree')));
    expect(up.facts.filter((fact) => fact.operation === 'mkdir').map((fact) => fact.path)).toEqual([
      p('into', 'tree'),
      p('into', 'tree', 'sub'),
    ]);
  });

  test('what is refused is a failure with its text', async () => {
    const absent = replay(await scp('host:/etc/absent', p('x')));
    expect(absent.facts).toEqual([
      expect.objectContaining({
        operation: 'read',
        path: '/etc/absent',
        outcome: 'failure',
        note: 'scp: /etc/absent: No such file or directory',
      }),
    ]);
    const noTree = replay(await scp('-r', p('tree'), `host:${p('absent', 'x')}`));
    expect(noTree.facts).toEqual([expect.objectContaining({ operation: 'mkdir', path: p('absent', 'x'), outcome: 'failure' })]);
    const nowhere = replay(await scp(p('big'), `host:${p('absent', 'x')}`));
    expect(nowhere.facts).toEqual([
      expect.objectContaining({
        operation: 'write',
        path: p('absent', 'x'),
        outcome: 'failure',
        note: expect.stringContaining('No such file') as string,
      }),
    ]);
  });

  test('globs are resolved by what is sent', async () => {
    const { facts } = replay(await scp(`host:${p('em*')}`, p('into')));
    expect(facts).toEqual([expect.objectContaining({ path: p('empty'), sha256: sha256(Buffer.alloc(0)) })]);
  });
});

test('hostile bytes never throw', async () => {
  const seen = await scp('-r', p('tree'), `host:${p('into')}`);
  for (let seed = 0; seed < 200; seed++) replay(damaged(seen, seed), ragged(seed));
  for (let seed = 0; seed < 20; seed++) expect(replay(noise(seen.kind, seed)).gaps.length).toBeLessThanOrEqual(1);
});
