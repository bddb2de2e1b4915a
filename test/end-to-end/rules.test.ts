/** `steno rules` on files, without a server and without a home. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const steno = new URL('../../bin/steno', import.meta.url).pathname;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-rules-'));
  writeFileSync(
    join(folder, 'shadow.yml'),
    'title: Shadow \u001b[31mread\nlevel: high\ntags: [attack.t1003.008]\nlogsource: { product: linux, category: process_creation }\ndetection: { sel: { Image|endswith: /cat, CommandLine|contains: /etc/shadow }, condition: sel }\n'
      .replace('\u001b', '\\u001b')
      .replace(/^title: (.*)$/m, 'title: "$1"'),
  );
  writeFileSync(
    join(folder, 'cron.yml'),
    'title: Cron\nlogsource: { product: linux, service: cron }\ndetection: { sel: [REPLACE], condition: sel }\n',
  );
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function rules(...args: readonly string[]): { readonly status: number | null; readonly out: string; readonly err: string } {
  const env = { PATH: process.env['PATH'], HOME: join(folder, 'none'), NO_COLOR: '1' };
  const { status, stdout, stderr } = spawnSync(process.execPath, [steno, 'rules', ...args], { encoding: 'utf8', env });
  return { status, out: stdout, err: stderr };
}
const cases = (matches: boolean): string =>
  `cases: [{ name: a copy, event: { Image: /bin/cat, CommandLine: cat /etc/shadow }, matches: ${String(matches)} }]\n`;

describe('steno rules', () => {
  it('counts the techniques of the rules, and lists those that ATT&CK does not have', () => {
    const covered = JSON.parse(rules('coverage', folder, '--json').out) as {
      readonly tactics: readonly { readonly tactic: string; readonly covered: readonly unknown[] }[];
    };
    expect(covered.tactics.flatMap(({ tactic, covered: of }) => of.map((one) => [tactic, one]))).toEqual([
      ['credential-access', { id: 'T1003.008', name: '/etc/passwd and /etc/shadow', signal: 0, alert: 1 }],
    ]);
    expect(rules('coverage').out).toContain('Defense Impairment');
    writeFileSync(
      join(folder, 'old.yml'),
      'title: Old\ntags: [attack.t1562.004]\nlogsource: { category: process_creation }\ndetection: { sel: { Image: /x }, condition: sel }\n',
    );
    const { status, err } = rules('test', folder);
    expect([status, err]).toEqual([65, expect.stringContaining('T1562.004 is T1686 in ATT&CK now')]);
  });

  it('lists rules with the reasons why they cannot be evaluated', () => {
    const { status, out, err } = rules('ls', folder);
    expect([status, err]).toEqual([0, '1 of 2 rules can be evaluated\n']);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(lines).toEqual([
      ['medium', '-', 'linux/cron', 'Cron', 'no: log source linux/cron: Steno collects no log of this service'],
      ['high', 'T1003.008', 'linux/process_creation', 'Shadow \\u{1b}[31mread', 'yes'],
    ]);
    expect(JSON.parse(rules('ls', folder, '--json').out)).toMatchObject([
      { evaluable: false },
      { evaluable: true, techniques: ['T1003.008'] },
    ]);
  });

  it('tests rules, and fails if a rule decides otherwise', () => {
    writeFileSync(join(folder, 'shadow.test.yml'), cases(true));
    expect(rules('test', folder)).toMatchObject({ status: 0, out: '2 rules, 1 can be evaluated; 1 cases, 0 failed\n', err: '' });
    writeFileSync(join(folder, 'shadow.test.yml'), cases(false));
    const failed = rules('test', folder);
    expect([failed.status, failed.out]).toEqual([65, expect.stringContaining('a copy: matches, and should not')]);
    expect(failed.err).toContain('[RULE_TEST_FAILED]');
    expect(JSON.parse(rules('test', folder, '--json').out)).toMatchObject({ rules: 2, evaluable: 1, cases: 1, failed: 1 });
  });

  it('reports the place of the error in every invalid rule', () => {
    writeFileSync(
      join(folder, 'bad.yml'),
      'title: Bad\nlogsource: { product: linux, category: file_event }\ndetection: { sel: { a|b: c }, condition: sel }\n',
    );
    writeFileSync(join(folder, 'worse.yml'), 'title: [\n');
    const { status, err } = rules('test', folder);
    expect(status).toBe(65);
    expect(err).toContain('bad.yml:3:21: there is no modifier "b"');
    expect(err).toContain('worse.yml:');
    expect(err).toContain('[RULE_INVALID]');
    expect(rules('ls', join(folder, 'nothing')).status).toBe(66);
  });
});
