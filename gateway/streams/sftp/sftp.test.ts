import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { Bench, bytewise, damaged, noise, pattern, ragged, replay, sha256, sha256Of } from '../../testing/transcript.js';

const bench = new Bench();
afterAll(() => bench.remove());
writeFileSync(bench.path('big'), pattern(3_000_017));
writeFileSync(bench.path('small'), 'hello\n');
writeFileSync(bench.path('empty'), '');
const sftp = (input: string, ...options: string[]) => bench.run('sftp', ['-S', bench.tap, '-b', '-', ...options, 'host'], { input });
const big = bench.path('big');

describe('OpenSSH sftp with sftp-server', () => {
  test('an upload and a download have path, size and digest, however the bytes are cut', async () => {
    const seen = await sftp(`put ${big} ${bench.path('up')}\nget ${bench.path('up')} ${bench.path('down')}\n`);
    for (const cut of [undefined, ragged(1), ragged(2), bytewise]) {
      const { facts, gaps } = replay(seen, cut);
      expect(gaps).toEqual([]);
      expect(facts.filter((fact) => fact.operation !== 'stat')).toEqual([
        {
          fact: 'file',
          protocol: 'sftp',
          operation: 'write',
          path: bench.path('up'),
          size: 3_000_017,
          sha256: sha256Of(big),
          mode: 0o644,
          outcome: 'success',
        },
        {
          fact: 'file',
          protocol: 'sftp',
          operation: 'read',
          path: bench.path('up'),
          size: 3_000_017,
          sha256: sha256Of(big),
          outcome: 'success',
        },
      ]);
    }
  });

  test('an empty file has the digest of nothing', async () => {
    const { facts } = replay(await sftp(`put ${bench.path('empty')} ${bench.path('e2')}\nget ${bench.path('e2')} ${bench.path('e3')}\n`));
    const nothing = sha256(Buffer.alloc(0));
    expect(facts.filter((fact) => fact.sha256 === nothing && fact.size === 0).map((fact) => fact.operation)).toEqual(['write', 'read']);
  });

  test('small windows and odd request sizes', async () => {
    const { facts } = replay(
      await sftp(`put ${big} ${bench.path('odd')}\nget ${bench.path('odd')} ${bench.path('odd2')}\n`, '-B', '1111', '-R', '7'),
      ragged(5),
    );
    expect(facts.filter((fact) => fact.sha256 === sha256Of(big)).map((fact) => fact.operation)).toEqual(['write', 'read']);
  });

  test('every other operation is one fact, with what the server answered', async () => {
    const p = (name: string): string => bench.path(name);
    const { facts } = replay(
      await sftp(
        [
          `put ${p('small')} ${p('f')}`,
          `-mkdir ${p('d')}`,
          `-mkdir ${p('d')}`,
          `rename ${p('f')} ${p('g')}`,
          `ln ${p('g')} ${p('hard')}`,
          `ln -s ${p('g')} ${p('soft')}`,
          `chmod 600 ${p('g')}`,
          `ls ${p('d')}`,
          `rm ${p('hard')}`,
          `rmdir ${p('d')}`,
          `-rm ${p('absent')}`,
          `-get /etc/absent`,
          '',
        ].join('\n'),
      ),
    );
    const brief = facts
      .filter((fact) => fact.operation !== 'stat')
      .map(({ operation, path, target, outcome, mode, note }) => [operation, path, target, outcome, mode, note]);
    const no = undefined;
    expect(brief).toEqual([
      ['write', p('f'), no, 'success', 0o644, no],
      ['mkdir', p('d'), no, 'success', no, no],
      ['mkdir', p('d'), no, 'failure', no, 'Failure'],
      ['rename', p('f'), p('g'), 'success', no, no],
      ['link', p('hard'), p('g'), 'success', no, no],
      ['symlink', p('soft'), p('g'), 'success', no, no],
      ['setstat', p('g'), no, 'success', 0o600, no],
      ['list', `${p('d')}/`, no, 'success', no, '2 entries'],
      ['remove', p('hard'), no, 'success', no, no],
      ['rmdir', p('d'), no, 'success', no, no],
      ['remove', p('absent'), no, 'failure', no, 'No such file'],
    ]);
  });

  test('a resumed upload has no digest and says so; one on the node is named as its source', async () => {
    writeFileSync(bench.path('part'), readFileSync(big).subarray(0, 1_000_000));
    const { facts } = replay(await sftp(`put -a ${big} ${bench.path('part')}\ncp ${bench.path('small')} ${bench.path('copied')}\n`));
    const [write] = facts.filter((fact) => fact.operation === 'write' && fact.path === bench.path('part'));
    expect(write).toMatchObject({ size: 3_000_017, outcome: 'success', note: 'written from byte 1000000 on' });
    expect(write).not.toHaveProperty('sha256');
    const [copy] = facts.filter((fact) => fact.path === bench.path('copied'));
    expect(copy).toMatchObject({ operation: 'write', note: `copied on the node from ${bench.path('small')}` });
  });

  test('1,000 small files', async () => {
    mkdirSync(bench.path('many'));
    for (let i = 0; i < 1000; i++) writeFileSync(bench.path('many', `f${i}`), `content of ${i}`);
    const { facts, gaps } = replay(await sftp(`put -r ${bench.path('many')} ${bench.path('many2')}\n`), ragged(3));
    const written = facts.filter((fact) => fact.operation === 'write');
    expect(gaps).toEqual([]);
    expect(written).toHaveLength(1000);
    for (const fact of written.slice(0, 100)) expect(fact.sha256).toBe(sha256Of(fact.path));
  });
});

test('scp over SFTP: the file is cut to its length at the end, so the digest is whole', async () => {
  const seen = await bench.run('scp', ['-S', bench.tap, '-p', big, `host:${bench.path('scp1')}`]);
  expect(seen.kind).toEqual({ subsystem: 'sftp', tty: false });
  expect(replay(seen).facts).toContainEqual(
    expect.objectContaining({ operation: 'write', path: bench.path('scp1'), size: 3_000_017, sha256: sha256Of(big), outcome: 'success' }),
  );
  const back = await bench.run('scp', ['-S', bench.tap, `host:${big}`, bench.path('scp2')]);
  expect(replay(back).facts).toContainEqual(
    expect.objectContaining({ operation: 'read', path: big, size: 3_000_017, sha256: sha256Of(big), outcome: 'success' }),
  );
});

describe('hostile bytes', () => {
  test('damaged transcripts never throw; a cut one leaves the file unfinished', async () => {
    const seen = await sftp(`put ${big} ${bench.path('up')}\nls ${bench.folder}\nget ${bench.path('small')} ${bench.path('s3')}\n`);
    for (let seed = 0; seed < 120; seed++) replay(damaged(seen, seed), ragged(seed));
    const { facts } = replay({ ...seen, records: seen.records.slice(0, Math.floor(seen.records.length / 2)) });
    const write = facts.find((fact) => fact.operation === 'write');
    expect(write).toMatchObject({ path: bench.path('up'), outcome: 'unfinished' });
    expect(write).not.toHaveProperty('sha256');
  });

  test('noise is given up with one gap', () => {
    for (let seed = 0; seed < 50; seed++) {
      const { facts, gaps } = replay(noise({ subsystem: 'sftp', tty: false }, seed), ragged(seed));
      expect(facts).toEqual([]);
      expect(gaps).toHaveLength(1);
    }
  });
});
