/** `steno hunt` over kernel events of real sessions: matches, their relation to existing findings, and permissions. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HuntLine } from '#schemas/api/recordings/hunts.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';

type Result = Extract<HuntLine, { readonly kind: 'result' }>;

const steno = new Steno();
const word = `probe${process.pid}`;
const enabled = join(steno.folder, 'rules');
const rule = (file: string, condition: string): string => {
  const path = join(steno.folder, file);
  writeFileSync(
    path,
    `title: Probe
id: 6f1b3f62-0f07-4d5c-8f2e-0d6f8a3c1b11
logsource: { category: process_creation, product: linux }
detection:
  selection: { ${condition} }
  condition: selection
level: high
`,
  );
  return path;
};

beforeAll(async () => {
  mkdirSync(enabled);
  rule('rules/probe.yml', `CommandLine: '/bin/true ${word} one'`);
  await steno.start('--rules', enabled);
  await steno.json('login', '--data', steno.data);
  for (const command of [`/bin/true ${word} one; :`, `/bin/true ${word} two; :`])
    expect((await steno.ssh(`${steno.login}@local.steno`, command)).status).toBe(0);
  await eventually(
    () => viewerOf(steno).audit({ event: 'session.analyzed' }),
    (rows) => rows.length >= 2,
  );
}, 120_000);
afterAll(() => steno.dispose());

const hunt = (path: string, ...more: readonly string[]): Promise<Result> => steno.json<Result>('hunt', path, ...more);

test('a rule finds matches with examples, and counts those without a finding', async () => {
  const { range, rules } = await hunt(rule('both.yml', `CommandLine|startswith: '/bin/true ${word} '`));
  expect(range).not.toBeNull();
  expect(rules).toHaveLength(1);
  expect(rules[0]).toMatchObject({ count: 2, fresh: 1, findings: { kept: 1, gone: 0 }, failure: null, level: 'high' });
  expect(rules[0]!.examples.map(({ name, login, node }) => [name, login, node])).toEqual(
    ['one', 'two'].map((which) => [`/bin/true ${word} ${which}`, steno.login, 'local']),
  );
});

test('a changed rule counts the findings that it no longer matches', async () => {
  const { rules } = await hunt(rule('changed.yml', `CommandLine: '/bin/true ${word} two'`));
  expect(rules[0]).toMatchObject({ count: 1, fresh: 1, findings: { kept: 0, gone: 1 } });
});

test('the parent of a program is resolved within the session', async () => {
  const { rules } = await hunt(
    rule('parent.yml', `CommandLine|startswith: '/bin/true ${word} ', ParentCommandLine|contains: '${word} two'`),
  );
  expect(rules[0]).toMatchObject({ count: 1, failure: null });
});

test('prints a preview for people; a time without events has none', async () => {
  const path = rule('both.yml', `CommandLine|startswith: '/bin/true ${word} '`);
  const shown = await steno.steno('hunt', path, '--preview');
  expect(shown.stdout).toContain(`/bin/true ${word} two`);
  expect(shown.stdout).toMatch(/2 matches, 1 in sessions without a finding of this rule; of its findings 1 still match and 0 no longer do/);
  expect(shown.stderr).toMatch(/2 matches of 1 rule from .* Nothing was written/);
  const before = await steno.steno('hunt', path, '--from', '2020-01-01', '--to', '2020-01-02');
  expect([before.status, before.stdout]).toEqual([1, '']);
});

test('an invalid rule is refused with the place of its error, and an unknown rule by its name', async () => {
  const bad = join(steno.folder, 'bad.yml');
  writeFileSync(bad, 'title: [\n');
  const refused = await steno.steno('hunt', bad);
  expect(refused.stderr).toContain('RULE_INVALID');
  expect((await steno.steno('hunt', 'no-such-rule')).stderr).toContain('NOT_FOUND');
});
