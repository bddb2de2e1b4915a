/** `npm test` with missing programs: its output and skipped tests on a machine whose PATH has only Node.js. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Program {
  readonly name: string;
  readonly package: string;
  readonly used: RegExp;
}
const here = new URL('./', import.meta.url);
const load = <T>(name: string): Promise<T> => import(pathToFileURL(join(here.pathname, name)).href) as Promise<T>;
const { programs, packages } = await load<{ programs: readonly Program[]; packages: () => string[] }>('programs.mjs');
const { needsOf, testFiles, isTestSupport, root } = await load<{
  needsOf: (file: string) => string[];
  testFiles: () => string[];
  isTestSupport: (file: string) => boolean;
  root: string;
}>('needs.mjs');

/** Programs of essential Debian packages. */
const elsewhere = new Set([
  'bash',
  'cat',
  'chage',
  'chmod',
  'dd',
  'find',
  'grep',
  'groupadd',
  'groupdel',
  'id',
  'last',
  'mkfifo',
  'mount',
  'prlimit',
  'sh',
  'mkdir',
  'npm',
  'sha256sum',
  'su',
  'tar',
  'sleep',
  'stty',
  'true',
  'umount',
  'useradd',
  'userdel',
  'usermod',
  'which',
  'who',
]);

describe('which programs a test file starts', () => {
  it('is read from its source and from its support', () => {
    expect(needsOf(join(root, 'schemas/base/duration.test.ts'))).toEqual([]);
    expect(needsOf(join(root, 'gateway/ssh/relay/forwarding.test.ts'))).toEqual(expect.arrayContaining('ssh sshd'.split(' ')));
    expect(needsOf(join(root, 'viewer/api/page.test.ts'))).toContain('chromium');
    expect(needsOf(join(root, 'stores/state/postgres.test.ts'))).toEqual(['postgres']);
  });

  it('the table names only programs that tests start, and tests start only known programs', () => {
    const files = testFiles();
    expect(files.length).toBeGreaterThan(200);
    const used = new Set(files.flatMap(needsOf));
    const optional = new Set('nc pscp dropbearkey bpftool busybox setpriv unshare nsenter bpf/bpf_helpers.h'.split(' '));
    expect(programs.map(({ name }) => name).filter((name) => !used.has(name) && !optional.has(name))).toEqual([]);
    const known = new Set([...programs.map(({ name }) => name), ...elsewhere]);
    const support = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts'], { cwd: root, encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((file) => join(root, file))
      .filter(isTestSupport);
    const unknown = support.flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/\b(?:spawn|spawnSync|execFile|execFileSync)\(\s*'([\w./+-]+)'/g)]
        .map(([, path = '']) => path.split('/').at(-1)!)
        .filter((name) => !known.has(name))
        .map((name) => `${relative(root, file)}: ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  it('each program has a Debian package, which the install command names once', () => {
    expect(new Set(packages()).size).toBe(packages().length);
    for (const program of programs) expect(packages()).toContain(program.package);
  });
});

describe('where the programs are missing', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'steno-bare-'));
    symlinkSync(process.execPath, join(folder, 'node'));
    symlinkSync('/bin/sh', join(folder, 'sh'));
    writeFileSync(join(folder, 'npm'), '#!/bin/sh\nexit 42\n', { mode: 0o755 });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('npm test reports them before it builds, with the install command', () => {
    // `npm run build` exits with 42 here, and so does the test command: the report came before the build.
    const { status, stdout } = spawnSync(process.execPath, [join(here.pathname, 'run.mjs')], { env: { PATH: folder }, encoding: 'utf8' });
    expect(status).toBe(42);
    expect(stdout).toMatch(/^Not installed here: ssh, ssh-keygen, /);
    expect(stdout).toMatch(/\d+ of \d+ test files start one of these and are skipped/);
    expect(stdout).toContain('npm run setup:tests');
    expect(stdout).toMatch(/sudo apt-get install -y --no-install-recommends openssh-client /);
  });

  it('a file that needs one is skipped completely; others run', () => {
    const report = join(folder, 'report.json');
    spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/vitest/vitest.mjs'),
        'run',
        join(root, 'cli/client/home.test.ts'),
        join(root, 'schemas/base/duration.test.ts'),
        '--reporter=json',
        `--outputFile=${report}`,
      ],
      { cwd: root, env: { PATH: folder, HOME: folder } },
    );
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
      testResults: { name: string; assertionResults: { status: string }[] }[];
    };
    const states = (name: string) => [
      ...new Set(testResults.find((file) => file.name.endsWith(name))!.assertionResults.map(({ status }) => status)),
    ];
    expect(states('cli/client/home.test.ts')).toEqual(['skipped']);
    expect(states('schemas/base/duration.test.ts')).toEqual(['passed']);
  });
});
