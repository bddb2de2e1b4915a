import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, bytewise, damaged, noise, pattern, ragged, replay } from '../testing/transcript.js';

const bench = new Bench();
afterAll(() => bench.remove());
const repository = bench.path('origin.git');
const work = bench.path('work');
const settings = ['-c', 'user.name=x', '-c', 'user.email=x@example.org', '-c', 'init.defaultBranch=main', '-c', 'protocol.version=2'];
const local = (...args: string[]): string =>
  execFileSync('git', [...settings, '-C', work, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
const git = (...args: string[]) =>
  bench.run('git', [...settings, ...args], {
    env: { GIT_SSH_COMMAND: bench.tap, GIT_SSH_VARIANT: 'ssh', GIT_CONFIG_GLOBAL: '/dev/null', HOME: bench.folder },
  });
const none = '0'.repeat(40);

beforeAll(() => {
  execFileSync('git', [...settings, 'init', '-q', '--bare', repository]);
  execFileSync('git', [...settings, 'init', '-q', work]);
  writeFileSync(bench.path('work', 'f'), pattern(200_000));
  local('add', 'f');
  local('commit', '-qm', 'one');
});

describe('git over ssh', () => {
  test('a push names ref, old and new id, and the size of the pack', async () => {
    const seen = await git('-C', work, 'push', `ssh://host${repository}`, 'main', 'main:refs/heads/second');
    const head = local('rev-parse', 'HEAD');
    for (const cut of [undefined, ragged(1), bytewise]) {
      const { facts, gaps } = replay(seen, cut);
      expect(gaps).toEqual([]);
      expect(facts).toEqual([
        {
          fact: 'file',
          protocol: 'git',
          operation: 'push',
          path: repository,
          size: expect.any(Number) as number,
          outcome: 'success',
          note: `refs/heads/main ${none} ${head}\nrefs/heads/second ${none} ${head}`,
        },
      ]);
      expect(facts[0]!.size).toBeGreaterThan(60_000);
    }
    const removed = replay(await git('-C', work, 'push', `ssh://host${repository}`, ':second'));
    expect(removed.facts).toEqual([
      expect.objectContaining({ operation: 'push', size: 0, note: `refs/heads/second ${head} ${none}`, outcome: 'success' }),
    ]);
  });

  test.each(['0', '1', '2'])('a clone with protocol %s names the refs and counts the pack', async (version) => {
    const seen = await git('-c', `protocol.version=${version}`, 'clone', '-q', `ssh://host${repository}`, bench.path(`clone${version}`));
    for (const cut of [undefined, ragged(7), bytewise]) {
      const { facts, gaps } = replay(seen, cut);
      expect(gaps).toEqual([]);
      expect(facts).toEqual([
        expect.objectContaining({
          operation: 'fetch',
          path: repository,
          outcome: 'success',
          note: `refs/heads/main ${local('rev-parse', 'HEAD')}`,
        }),
      ]);
      expect(facts[0]!.size).toBeGreaterThan(60_000);
    }
  });

  test('listing refs asks for no objects; an archive names what it is of', async () => {
    expect(replay(await git('ls-remote', `ssh://host${repository}`)).facts).toEqual([
      expect.objectContaining({ operation: 'fetch', size: 0, note: 'no objects were asked for', outcome: 'success' }),
    ]);
    const { facts } = replay(await git('archive', `--remote=ssh://host${repository}`, '--format=tar', '-o', bench.path('a.tar'), 'main'));
    expect(facts).toEqual([
      expect.objectContaining({
        operation: 'fetch',
        size: 204_800 + 0,
        outcome: 'success',
        note: expect.stringContaining('main') as string,
      }),
    ]);
  });

  test('a refused push is a failure', async () => {
    local('commit', '-q', '--amend', '-m', 'other');
    execFileSync('git', ['-C', repository, 'config', 'receive.denyNonFastForwards', 'true']);
    const { facts } = replay(await git('-C', work, 'push', '-f', `ssh://host${repository}`, 'main'));
    expect(facts).toEqual([
      expect.objectContaining({
        outcome: 'failure',
        note: expect.stringMatching(/^refused: refs\/heads\/main non-fast-forward/) as string,
      }),
    ]);
    expect(replay(await git('ls-remote', 'ssh://host/absent.git')).facts).toEqual([
      expect.objectContaining({ path: '/absent.git', outcome: 'failure' }),
    ]);
  });

  test('hostile bytes never throw', async () => {
    const seen = await git('clone', '-q', `ssh://host${repository}`, bench.path('clone-h'));
    for (let seed = 0; seed < 150; seed++) replay(damaged(seen, seed), ragged(seed));
    for (let seed = 0; seed < 30; seed++) expect(replay(noise(seen.kind, seed)).facts).toHaveLength(1);
  });
});
