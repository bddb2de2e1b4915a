/** `steno evidence`: sessions over real ssh, in one folder. Other programs check its signature, hashes and recordings, and detect alterations. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';

const steno = new Steno();
const folder = join(steno.folder, 'pack');
interface Manifest {
  readonly made_by: string;
  readonly principal: string;
  readonly sample: { readonly seed: string; readonly population: number };
  readonly sampled: readonly { readonly session: string; readonly verdict: string }[];
  readonly answers: readonly { readonly id: string; readonly hash: string }[];
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
}

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  for (const n of [1, 2, 3]) await steno.ssh(`${steno.login}@local.steno`, `echo '<script>alert(${n})</script>'`);
  await eventually(
    () => viewerOf(steno).sessions(),
    (rows) => rows.length === 3 && rows.every(({ state }) => state === 'sealed'),
  );
});
afterAll(() => steno.dispose());

test('makes a folder whose manifest is signed, names every file, and has verified the sample', async () => {
  const made = await steno.json<Manifest>('evidence', '--from', '1d', '-o', folder, '--sample', '2', '--seed', 'audit');
  expect(made).toMatchObject({ made_by: steno.login, sample: { seed: 'audit', population: 3 } });
  expect(made.sampled.map(({ verdict }) => verdict)).toEqual(['verified', 'verified']);
  for (const { path, sha256 } of made.files)
    expect(
      createHash('sha256')
        .update(readFileSync(join(folder, path)))
        .digest('hex'),
      path,
    ).toBe(sha256);
  expect(made.files.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['index.html', 'access.json', 'retention.csv', 'queries/cc7.2-coverage.csv']),
  );
  const ca = (await steno.steno('ca', 'export', 'user')).stdout.trim();
  const signers = join(steno.folder, 'signers');
  writeFileSync(signers, `* cert-authority ${ca}\n`);
  const check = (text: Buffer) =>
    spawnSync(
      'ssh-keygen',
      ['-Y', 'verify', '-n', 'steno-evidence', '-f', signers, '-I', made.principal, '-s', join(folder, 'manifest.json.sig')],
      { input: text },
    );
  const manifest = readFileSync(join(folder, 'manifest.json'));
  const checked = check(manifest);
  expect(checked.status, `${checked.stdout.toString()}${checked.stderr.toString()}`).toBe(0);
  expect(check(Buffer.from(manifest.toString().replace('audit', 'Audit'))).status).not.toBe(0);
  const recording = join(folder, 'recordings', `${made.sampled[0]!.session}.cast.zst`);
  expect((await steno.steno('verify', recording)).status).toBe(0);
  execFileSync('zstd', ['-t', recording]);
});

test('its hashes are in the audit log, its page runs no script, and the same seed picks the same sessions again', async () => {
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as Manifest;
  const told = await eventually(
    () => viewerOf(steno).audit({ event: 'recording.query', limit: 200 }),
    (rows) => manifest.answers.every(({ hash }) => rows.some(({ data }) => data.includes(hash))),
  );
  expect(told.length).toBeGreaterThanOrEqual(manifest.answers.length);
  const page = readFileSync(join(folder, 'index.html'), 'utf8');
  expect(page).not.toContain('<script');
  expect(page).toContain('2 verified, 0 not');
  const again = await steno.json<Manifest>(
    'evidence',
    '--from',
    '1d',
    '-o',
    join(steno.folder, 'again'),
    '--sample',
    '2',
    '--seed',
    'audit',
  );
  expect(again.sampled).toEqual(manifest.sampled);
  expect((await steno.steno('evidence', '--from', '1d', '-o', folder)).status).toBe(64);
});
