/** Honey tokens over real ssh: created by the command, found on the screen, in a command and as a file, and never shown again. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HoneyToken } from '#schemas/api/detection/honey.js';
import type { FindingInfo } from '#schemas/api/recordings/findings.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';

const steno = new Steno();
beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
}, 120_000);
afterAll(() => steno.dispose());

test('reading and using a token makes findings that do not show it; a removed token makes none', async () => {
  const token = await steno.json<HoneyToken & { readonly content: string }>('honey', 'add', 'password', '--note', 'a file of the test');
  const text = token.content.trim();
  expect(text).toMatch(/^\w{20}$/);
  const file = join(steno.folder, 'decoy.txt');
  writeFileSync(file, token.content);
  const findings = (): Promise<FindingInfo[]> => steno.json<FindingInfo[]>('findings', 'ls', '--rule', 'steno/honey-token', '--all');
  // The analyzer reads new tokens after the watch announces them, when the first session may be over.
  const found = await eventually(
    async () => {
      expect((await steno.ssh('-tt', `${steno.login}@local.steno`, `cat ${file}; /bin/true --password=$(cat ${file})`)).status).toBe(0);
      return findings();
    },
    (rows) => ['on the screen', 'in a command'].every((where) => rows.some(({ reason }) => reason.endsWith(where))),
  );
  for (const finding of found) {
    expect(finding.severity).toBe('critical');
    expect(JSON.stringify(finding)).not.toContain(text);
    expect(finding.reason).toContain(token.masked);
  }
  expect(JSON.stringify(await steno.json('honey', 'ls'))).not.toContain(text);
  expect(JSON.stringify(await viewerOf(steno).audit({ event: 'honey.add' }))).not.toContain(text);
  expect((await steno.steno('honey', 'rm', token.id)).status).toBe(0);
  expect(await steno.json<HoneyToken[]>('honey', 'ls')).toEqual([]);
}, 180_000);
