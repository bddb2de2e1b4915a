/** Evidence taken out of a running Steno with the commands: one page, and the files that went through a session. */
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { readOfflinePage } from '#recordings/offline/page-file.js';
import type { RecordedFile } from '#recordings/files/recorded-files.js';
import { must, sessionsOf, viewerOf } from './client-tools.js';
import type { Viewer } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';

const steno = new Steno();
let viewer: Viewer;
const path = (...names: readonly string[]): string => join(steno.folder, ...names);
const host = (): string => `${steno.login}@local.steno`;
const content = randomBytes(300_000);

async function recorded(act: () => Promise<unknown>): Promise<SessionInfo> {
  const rows = await sessionsOf(viewer, 1, async () => void (await act()));
  expect(rows).toHaveLength(1);
  return rows[0]!;
}

beforeAll(async () => {
  // `npm run build` leaves this file beside the page.
  const root = fileURLToPath(new URL('../dist/web/offline/', `file://${bin}`));
  if (!existsSync(join(root, 'page.js')))
    await build({
      configFile: fileURLToPath(new URL('../viewer/web/offline/vite.config.ts', `file://${bin}`)),
      logLevel: 'error',
      build: { outDir: root },
    });
  await steno.start();
  await steno.json('login', '--data', steno.data);
  viewer = viewerOf(steno);
  const role = {
    kind: 'role',
    name: 'admin',
    allow: { nodes: { '*': '*' }, logins: ['*', 'root', '{user}'] },
    view: 'all',
    administer: true,
  };
  writeFileSync(path('role.yaml'), JSON.stringify({ ...role, recording: { streams: 'full' } }));
  await must(steno.steno('apply', '-f', path('role.yaml')));
  await eventually(
    async () => (await viewer.cast((await recorded(() => steno.ssh(host(), 'true'))).id)).split('\n')[0]!,
    (header) => header.includes('"streams":"full"'),
  );
  await must(steno.steno('ca', 'export', 'recording')).then(({ stdout }) => writeFileSync(path('ca.pub'), stdout));
}, 240_000);
afterAll(() => steno.dispose());

it('a page verifies with the CA key alone, names its roles, and is refused after one byte is changed', async () => {
  const { id } = await recorded(() => must(steno.ssh('-tt', host(), 'echo evidence; sleep 0.2')));
  const page = path('session.html');
  await must(steno.steno('export', id, '--html', page));
  const read = readOfflinePage(readFileSync(page));
  expect(read.about).toMatchObject({ session: id, made_by: expect.any(String), unsigned: { roles: [{ name: 'admin' }] } });
  rmSync(path('home-away'), { recursive: true, force: true });
  const offline = { env: { STENO_HOME: path('home-away') } };
  const verify = (file: string) => steno.exec(process.execPath, [bin, 'verify', file, '--ca', path('ca.pub'), '--json'], offline);
  const good = await must(verify(page));
  expect(JSON.parse(good.stdout)).toMatchObject({ ok: true, session: id, page_code: 'own' });
  const bytes = readFileSync(page);
  const place = bytes.indexOf('data-part') + 400;
  for (const [at, code] of [
    [place, 'PAGE_MALFORMED'],
    [bytes.length - 30, null],
  ] as const) {
    const changed = Buffer.from(bytes);
    changed[at] = changed[at] === 0x41 ? 0x42 : 0x41;
    writeFileSync(path('changed.html'), changed);
    const { status, stderr, stdout } = await verify(path('changed.html'));
    if (code === null) expect(JSON.parse(stdout || '{}')).not.toMatchObject({ ok: true, page_code: 'own' });
    else expect([status, stderr]).toEqual([10, expect.stringContaining(code)]);
  }
});

it.each([
  ['sftp', [], 'upload.bin'],
  ['scp', ['-O'], 'upload-old.bin'],
] as const)('a file that went through %s can be extracted, and so can its stream', async (protocol, options, name) => {
  writeFileSync(path(name), content);
  const { id } = await recorded(() =>
    must(steno.exec('scp', [...options, '-F', steno.config, path(name), `${host()}:${path(`${name}.there`)}`])),
  );
  const files = await steno.json<RecordedFile[]>('files', id);
  const file = files.find((each) => each.kind === 'transfer' && each.operation === 'write')!;
  expect(file).toMatchObject({ protocol, size: content.length, missing: null });
  await must(steno.steno('files', id, '--extract', String(file.n), '-o', path(`${name}.out`)));
  expect(readFileSync(path(`${name}.out`)).equals(content)).toBe(true);
  expect((await steno.steno('files', id, '--extract', String(file.n), '-o', path(`${name}.out`))).stderr).toContain('[USAGE]');
  await must(steno.steno('files', id, '--extract', 'stdin', '-o', path(`${name}.stream`)));
  expect(readFileSync(path(`${name}.stream`)).includes(content.subarray(0, 1_000))).toBe(true);
});

it('the input of a command can be extracted, also from an exported file without a login', async () => {
  const { id } = await recorded(() => must(steno.exec('ssh', ['-F', steno.config, host(), 'cat > /dev/null'], { input: content })));
  await must(steno.steno('export', id, '-o', path('s.cast.zst')));
  const offline = { env: { STENO_HOME: path('home-away') } };
  const take = (...args: readonly string[]) =>
    steno.exec(process.execPath, [bin, 'files', path('s.cast.zst'), '--ca', path('ca.pub'), ...args], offline);
  await must(take('--extract', 'stdin', '-o', path('given')));
  expect(readFileSync(path('given')).equals(content)).toBe(true);
  expect((await take('--extract', 'nothing', '-o', path('none'))).status).toBe(66);
  const changed = readFileSync(path('s.cast.zst'));
  changed[changed.length >> 1]! ^= 1;
  writeFileSync(path('s.cast.zst'), changed);
  expect((await take()).stderr).toMatch(/\[VERIFY_ALTERED\]/);
});

it('both verifiers accept a bundle with the CA keys alone, and refuse it after a byte of any file is changed', async () => {
  const { id } = await recorded(() => must(steno.ssh('-tt', host(), 'echo in-a-bundle; sleep 0.2')));
  const bundle = path('bundle');
  await must(steno.steno('export', id, '--bundle', bundle));
  await must(steno.steno('ca', 'export', 'user')).then(({ stdout }) => writeFileSync(path('user-ca.pub'), stdout));
  const cas = ['--ca', path('ca.pub'), '--user-ca', path('user-ca.pub')];
  const offline = { env: { STENO_HOME: path('home-away') } };
  const verify = (folder: string) => steno.exec(process.execPath, [bin, 'verify', folder, ...cas, '--json'], offline);
  const python = (folder: string) =>
    steno.exec('python3', [fileURLToPath(new URL('../docs/verify.py', `file://${bin}`)), folder, path('ca.pub'), path('user-ca.pub')]);
  expect(JSON.parse((await must(verify(bundle))).stdout)).toMatchObject({
    ...{ ok: true, session: id, page_code: 'own' },
    bundle: { signed_under: 'user CA', made_by: expect.any(String), missing: expect.any(Array) },
  });
  expect((await must(python(bundle))).stdout).toMatch(new RegExp(`^good: \\d+ files[^]*good: session ${id}`));
  const files = [...readdirSync(bundle, { recursive: true, encoding: 'utf8' })].filter((name) => statSync(join(bundle, name)).isFile());
  expect(files).toEqual(
    expect.arrayContaining([
      ...['recording.cast.zst', 'session.html', 'session.json', 'identity.json', 'roles/admin.json', 'audit.jsonl', 'recording-ca.pub'],
      ...['verify.py', 'README.txt', 'manifest.json', 'manifest.json.sig'],
    ]),
  );
  expect(JSON.parse(readFileSync(join(bundle, 'identity.json'), 'utf8'))).toMatchObject({
    login: steno.login,
    checkpoint: { end: 'complete' },
    certificate: { issued: { event: 'user.login' } },
  });
  for (const name of files) {
    const bytes = readFileSync(join(bundle, name));
    const changed = Buffer.from(bytes);
    changed[bytes.length >> 1]! ^= 1;
    writeFileSync(join(bundle, name), changed);
    const verdicts = await Promise.all([verify(bundle), python(bundle)]);
    expect(
      verdicts.map(({ status }) => status),
      name,
    ).toEqual([10, 10]);
    writeFileSync(join(bundle, name), bytes);
  }
  expect((await verify(bundle)).status).toBe(0);
  expect((await steno.steno('export', id, '--bundle', bundle)).stderr).toContain('[USAGE]');
});

it('a picture of a moment, and the events as CSV and OCSF', async () => {
  const { id } = await recorded(() => must(steno.ssh('-tt', host(), "printf '\\033[31m=cmd()\\033[0m\\n'; sleep 0.5")));
  await must(steno.steno('shot', id, '--at', '0:00.4', '-o', path('shot.svg')));
  expect(readFileSync(path('shot.svg'), 'utf8')).toMatch(/fill="#e5604f">=cmd\(\)</);
  const { stdout: csv } = await must(steno.steno('events', id, '--format', 'csv'));
  const { stdout: ocsf } = await must(steno.steno('events', id, '--format', 'ocsf'));
  const events = ocsf
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { unmapped: { steno: { session: string } } });
  expect(csv.startsWith('session,at,offset_ms,source,kind,')).toBe(true);
  expect(csv.trim().split('\r\n')).toHaveLength(events.length + 1);
  expect(events.every(({ unmapped }) => unmapped.steno.session === id)).toBe(true);
  expect((await steno.steno('events', id, '--format', 'csv', '--tree')).stderr).toContain('[USAGE]');
});
