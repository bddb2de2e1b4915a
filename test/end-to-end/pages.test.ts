/**
 * Every page of a Steno that has data, in Chromium: it is accessible in both colour schemes, fits a phone, and its main action can be reached
 * with the keyboard.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import type { FindingInfo } from '#schemas/api/recordings/findings.js';
import { accessibilityFaults } from '../../viewer/api/testing/accessible.js';
import { headless, watchPage } from '../../viewer/api/testing/chromium.js';
import { takePicture } from '../../viewer/api/testing/pictures.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { openAuthorities, person } from './people.js';
import { signInOwner } from './session-page.js';

const steno = new Steno();
const complaints: string[] = [];
const rule = `
title: Marked command
id: 8e1a7a0e-6d0f-4b7b-9f0e-3f6f6f2f1d11
logsource: { product: linux, category: process_creation }
detection: { selection: { CommandLine|contains: marked-word }, condition: selection }
level: high
tags: [attack.t1059.004]
`;
const roles = `
kind: role
name: dev
allow: { request: [{ roles: [ops], max_duration: 1h }, { nodes: { name: local }, logins: [nobody] }] }
---
kind: role
name: ops
allow: { nodes: { "*": "*" }, logins: [nobody] }
---
kind: role
name: lead
allow: { approve: [{ roles: [ops], nodes: { "*": "*" } }], request: [{ roles: [ops], max_duration: 8h }] }
`;
let browser: Browser;
let page: Page;
let origin: string;
let session: string;
let caseId: string;

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const file = join(steno.folder, 'roles.yaml');
  writeFileSync(file, roles);
  await must(steno.steno('apply', '-f', file));
  await must(steno.steno('users', 'edit', steno.login, '--roles', 'admin,lead'));
  await must(steno.steno('login', '--data', steno.data));
  writeFileSync(join(steno.folder, 'marked.yml'), rule);
  await must(steno.steno('rules', 'add', join(steno.folder, 'marked.yml')));
  const ca = await openAuthorities(steno);
  await must(steno.steno('users', 'add', 'dan', '--roles', 'dev'));
  const dan = await person(steno, ca, 'dan', ['dev'], ['dan']);
  const asked = await dan.json<AccessRequest>('request', 'create', '--role', 'ops', '--reason', 'INC-9: disk full on db-1', '--ttl', '30m');
  await must(steno.steno('request', 'approve', asked.id, '--reason', 'seen the alert'));
  await dan.json('request', 'create', '--role', 'ops', '--reason', 'INC-12: replica lags behind; I will restart it', '--ttl', '1h');
  await must(steno.steno('request', 'create', '--role', 'ops', '--reason', 'on call this week', '--ttl', '8h'));
  // The analyzer may load the rule after a first session, so sessions are repeated until there is a finding.
  const target = `${steno.login}@local.steno`;
  await eventually(
    async () => {
      await must(steno.ssh(target, 'echo marked-word; /bin/echo marked-word; ls /etc | head -3'));
      return steno.json<FindingInfo[]>('findings', 'ls');
    },
    (found) => found.some(({ title }) => title === 'Marked command'),
  );
  session = (await viewerOf(steno).sessions())[0]!.id;
  const { stdout } = await must(steno.steno('cases', 'new', 'Marked word seen on local', '--json'));
  caseId = (JSON.parse(stdout) as { id: string }).id;
  await must(steno.steno('cases', 'add', caseId, 'session', session));
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  watchPage(page, complaints);
  origin = await signInOwner(steno, page);
}, 180_000);
afterAll(async () => {
  await browser?.close();
  await steno.dispose();
}, 60_000);

/** What the keyboard focus is on, as the selector that it matches and how it is outlined. */
async function tabTo(selector: string): Promise<string> {
  await page.evaluate('document.activeElement?.blur()');
  for (let presses = 0; presses < 80; presses++) {
    await page.keyboard.press('Tab');
    const outline = await page.evaluate<string | null>(
      `document.activeElement.matches(${JSON.stringify(selector)}) ? getComputedStyle(document.activeElement).outlineStyle : null`,
    );
    if (outline !== null) return outline;
  }
  return 'not reached';
}

/** Name, address, what is there once the page has its data, and its main action. */
const pages: readonly (readonly [name: string, path: () => string, ready: string, action: string])[] = [
  ['sessions', () => '/sessions', '.row', '.row'],
  ['session', () => `/sessions/${session}`, '.pane .virtual, .pane-empty', '.play'],
  ['nodes-list', () => '/nodes', '.node', '.node-go'],
  ['search-found', () => '/search?q=marked-word', '.group', '.found-hit'],
  ['findings', () => '/findings', '.finding', '.finding-acts .strong'],
  ['findings-response', () => '/findings/response', '.response-measure', '.response-filters input'],
  ['patterns-little', () => '/patterns', '.pattern-sum', '.filter-row input'],
  // All three hundred rules would take axe a minute.
  ['rules', () => '/rules?severity=critical', 'tbody tr', 'tbody a'],
  ['rules-hits', () => '/rules?text=marked', 'tbody tr', 'tbody a'],
  ['cases', () => '/cases', '.case-row', '.page-head .strong'],
  ['case', () => `/cases/${caseId}`, '.case-timeline', '.case-button'],
  ['requests', () => '/requests', '.request', '.decide .strong'],
  ['sql', () => '/sql', '.sql-library', '.sql-run button'],
  ['audit', () => '/audit', 'tbody tr', 'tbody a'],
  ['audit-views', () => '/audit/views', '.page-about', '.filters select'],
  ['audit-siem', () => '/audit/siem', '.empty', '.page-about a'],
  ['account', () => '/account', 'main h1', 'main button, main a, main input'],
];

it.each(pages)(
  '%s: is accessible by day and by night, fits a phone, and its main action has a visible focus',
  async (name, path, ready, action) => {
    await page.goto(`${origin}${path()}`);
    await page.locator(ready).first().waitFor();
    await takePicture(page, `page-${name}`);
    expect(await accessibilityFaults(page, ['.terminal'])).toEqual([]);
    expect(await tabTo(action)).not.toMatch(/none|not reached/);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    expect(await accessibilityFaults(page, ['.terminal'])).toEqual([]);
    await page.setViewportSize({ width: 1440, height: 900 });
  },
);

it('nothing went wrong on any of them', () => {
  expect(complaints).toEqual([]);
});
