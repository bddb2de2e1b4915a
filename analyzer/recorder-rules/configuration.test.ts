import { expect, test } from 'vitest';
import { configurationKinds } from '#schemas/kernel/configuration.js';
import type { EventRow } from '#schemas/events/rows.js';
import { exampleEventRow, exampleSessionRow } from '#stores/events/examples.js';
import { configurationDetector, configurationRules } from './configuration.js';

const [one, two] = ['a'.repeat(64), 'b'.repeat(64)] as const;
const content = (path: string, sha256: string, data: object = {}, index = 0): EventRow =>
  exampleEventRow({
    source: 'kernel',
    kind: 'file',
    name: 'content',
    path,
    sha256,
    outcome: 'success',
    index,
    node: 'web-1',
    data: JSON.stringify({ pid: 5, ...data }),
  });

async function found(...rows: readonly EventRow[]): Promise<readonly string[]> {
  const opened = await configurationDetector().open(exampleSessionRow());
  return rows.flatMap((row) => opened.take({ kind: 'event', row })).map(({ rule, reason }) => `${rule.id}: ${reason}`);
}

test('the reason has what is known of the content before and after', async () => {
  expect(
    await found(
      content('/etc/sudoers', two, { before: one }),
      content('/etc/cron.d/x', one),
      content('/root/.ssh/authorized_keys', '', { before: one, sha256_missing: 'gone' }),
      content('/etc/pam.d/sshd', '', { sha256_missing: 'too large' }),
    ),
  ).toEqual([
    `steno/changed-sudoers: /etc/sudoers on web-1: SHA-256 ${one} before, SHA-256 ${two} now`,
    `steno/changed-cron: /etc/cron.d/x on web-1: not known before, SHA-256 ${one} now`,
    `steno/changed-keys: /root/.ssh/authorized_keys on web-1: SHA-256 ${one} before, removed now`,
    'steno/changed-pam: /etc/pam.d/sshd on web-1: not known before, not read now (too large)',
  ]);
});

test('the same content, other rows and other files are none, and each content of a file is one', async () => {
  const elsewhere: EventRow = { ...content('/etc/sudoers', two), name: 'open' };
  const claimed: EventRow = { ...content('/etc/sudoers', two), source: 'recording' };
  expect(await found(content('/etc/sudoers', one, { before: one }), elsewhere, claimed, content('/etc/hosts', one))).toEqual([]);
  const rows = [one, two, one].map((sha256, i) => content('/etc/sudoers', sha256, {}, i));
  expect(await found(...rows)).toHaveLength(2);
  const many = Array.from({ length: 100 }, (_, i) => content(`/etc/cron.d/${i}`, one, {}, i));
  expect(await found(...many)).toHaveLength(20);
});

test('what a row claims is text at most', async () => {
  expect(await found(content('/etc/sudoers', two, { before: { evil: 1 } }))).toEqual([
    `steno/changed-sudoers: /etc/sudoers on web-1: not known before, SHA-256 ${two} now`,
  ]);
});

test('each kind of file has a rule of its own', () => {
  expect(new Set(configurationKinds.map((kind) => configurationRules[kind].id)).size).toBe(configurationKinds.length);
});
