/** Rules put in force while Steno runs: from `steno rules add` over real ssh to a finding, a webhook, a decision and a suppression. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CatalogueRule } from '#schemas/api/detection/rule-catalogue.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { listRules } from '#schemas/api/detection/rules.js';
import type { RuleInfo } from '#schemas/api/detection/rules.js';
import type { Suppression } from '#schemas/api/detection/suppressions.js';
import { listFindings } from '#schemas/api/recordings/findings.js';
import type { FindingDetail, FindingInfo } from '#schemas/api/recordings/findings.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../cli/client/client.js';
import { openHome } from '../../cli/client/home.js';
import { Steno, eventually } from './machine.js';

const steno = new Steno();
const rules = join(steno.folder, 'own-rules');
const id = '6f1b3f62-0f07-4d5c-8f2e-0d6f8a3c1b12';
const word = `probe${process.pid}`;
const told: { readonly finding: { readonly id: string; readonly rule: string; readonly rule_version: number }; readonly link: string }[] =
  [];
let receiver: Server;

const rule = (contains: string): string =>
  `title: Probe\nid: ${id}\nlogsource: { category: process_creation, product: linux }\ndetection:\n  selection: { CommandLine|contains: ${contains} }\n  condition: selection\nlevel: high\n`;
/** As `steno rules ls` lists the rules that the authority keeps. */
const keptRules = () => call(openClient(openHome(steno.env)).authority, listRules, {});
const stateOf = async (): Promise<RuleInfo | undefined> => (await keptRules()).find((one) => one.id === id);
const loaded = (version: number): Promise<unknown> =>
  eventually(stateOf, (info) => info?.analyzed?.version === version && info.analyzed.state === 'loaded');
const run = async (command: string): Promise<void> => {
  expect((await steno.ssh(`${steno.login}@local.steno`, command)).status).toBe(0);
};
const findingsOf = async (rule: string, options: { readonly state?: string } = {}): Promise<readonly FindingInfo[]> => {
  // A command lists those that are open or acknowledged, unless it names a state.
  const query = { rule, state: options.state ?? 'open,acknowledged' };
  return (await call(openClient(openHome(steno.env)).viewer, listFindings, { query })).findings;
};
const found = (count: number, options: { readonly state?: string } = {}): Promise<readonly FindingInfo[]> =>
  eventually(
    () => findingsOf(id, options),
    (rows) => rows.length >= count,
  );

beforeAll(async () => {
  receiver = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      told.push(JSON.parse(text) as (typeof told)[number]);
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  mkdirSync(rules);
  await steno.start();
  await steno.json('login', '--data', steno.data);
  const secrets = join(steno.data, 'authority', 'secrets');
  mkdirSync(secrets, { recursive: true });
  writeFileSync(join(secrets, 'soc'), 'a secret', { mode: 0o600 });
  writeFileSync(
    join(steno.folder, 'soc.yml'),
    `kind: webhook\nname: soc\nformat: json\nurl: http://127.0.0.1:${(receiver.address() as AddressInfo).port}/\nsecret: { file: soc }\nevents: [finding.new]\nmin_severity: high\n`,
  );
  expect((await steno.steno('apply', '-f', join(steno.folder, 'soc.yml'))).stderr).not.toContain('steno:');
});
afterAll(async () => {
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
  await steno.dispose();
});

test('no rule of a folder is sent if one of them is not valid', async () => {
  writeFileSync(join(rules, 'probe.yml'), rule(word));
  writeFileSync(join(rules, 'bad.yml'), 'title: [\n');
  const refused = await steno.steno('rules', 'add', rules);
  expect([refused.status, refused.stderr]).toEqual([65, expect.stringContaining('bad.yml')]);
  expect(await steno.json('rules', 'ls', '--kept')).toEqual([]);
});

test('built-in rules are listed with tier, severity, hits and cost, on the command line and for the page', async () => {
  interface Listed {
    readonly id: string;
    readonly evaluated: CatalogueRule | null;
  }
  const listed = (): Promise<Listed[]> => steno.json<Listed[]>('rules', 'ls', '--sort', 'cost');
  await expect.poll(async () => (await listed()).length, { timeout: 60_000 }).toBeGreaterThan(250);
  const rules = await listed();
  expect(rules.find(({ id: one }) => one === 'steno/login-beside-steno')?.evaluated).toMatchObject({
    detector: 'bypass',
    tier: 'alert',
    severity: 'high',
  });
  expect(new Set(rules.map(({ evaluated }) => evaluated?.detector))).toContain('sigma');
  expect((await steno.steno('rules', 'ls')).stdout).toMatch(/steno\/first-program/);
});

test('lists of known-good executables are imported, listed, replaced and removed, and the audit log says so', async () => {
  const file = join(steno.folder, 'base image.sha256');
  const hash = (digit: string): string => digit.repeat(64);
  writeFileSync(file, `${hash('a')}  /usr/bin/a\n${hash('b')} */usr/bin/b\n`);
  expect((await steno.steno('hashes', 'import', file)).stdout).toContain('base-image has 2 known-good executables');
  writeFileSync(file, `${hash('A')}\n`);
  expect((await steno.steno('hashes', 'import', file)).stdout).toContain('has 1 known-good');
  expect(await steno.json('hashes', 'ls')).toMatchObject([{ name: 'base-image', count: 1, file: 'base image.sha256' }]);
  writeFileSync(file, 'no hash\n');
  const refused = await steno.steno('hashes', 'import', file);
  expect([refused.status, refused.stderr]).toEqual([65, expect.stringContaining('[HASHES_INVALID]')]);
  expect((await steno.steno('hashes', 'rm', 'base-image')).status).toBe(0);
  expect(await steno.json('hashes', 'ls')).toEqual([]);
  const events = async (): Promise<readonly string[]> =>
    (await steno.json<AuditRow[]>('audit', '--event', 'hashes.')).map(
      ({ event, data }) => `${event} ${String((JSON.parse(data) as { count: number }).count)}`,
    );
  await expect.poll(events, { timeout: 60_000 }).toEqual(['hashes.remove 1', 'hashes.import 1', 'hashes.import 2']);
});

test('a rule that is added while Steno runs finds later actions and notifies the webhook', async () => {
  writeFileSync(join(rules, 'bad.yml'), '');
  expect((await steno.steno('rules', 'add', join(rules, 'probe.yml'))).stdout).toContain('1 added');
  await loaded(1);
  await run(`/bin/true ${word}`);
  const [finding] = await found(1);
  expect(finding).toMatchObject({ title: 'Probe', severity: 'high', state: 'open', user: steno.login, rule_version: 1 });
  await eventually(async () => told.some((one) => one.finding.id === finding!.id), Boolean);
  expect(told.find((one) => one.finding.id === finding!.id)!.link).toContain(`/sessions/${finding!.session}`);
  const shown = await steno.json<FindingDetail>('findings', 'show', finding!.id.slice(0, 12));
  expect(shown.evidence.length).toBeGreaterThan(0);
  expect(shown.missing).toBe(0);
});

test('decisions are listed with their author and reason', async () => {
  const [finding] = await found(1);
  expect((await steno.steno('findings', 'dismiss', finding!.id.slice(0, 12), '--reason', 'a drill')).status).toBe(0);
  const [dismissed] = await found(1, { state: 'dismissed' });
  expect(dismissed).toMatchObject({ id: finding!.id, triage: { state: 'dismissed', by: steno.login, reason: 'a drill' } });
  expect((await steno.steno('findings', 'resolve', finding!.id)).status).toBe(64);
});

test('a suppressed finding is stored but not announced; another version of the rule makes findings of its own', async () => {
  const made = await steno.json<Suppression>('findings', 'suppress', '--rule', id, '--for', '1h', '--reason', 'the drill goes on');
  const before = told.length;
  await run(`/bin/true ${word} again`);
  const [suppressed] = await found(1, { state: 'suppressed' });
  expect(suppressed).toMatchObject({ triage: { by: `suppression/${made.id}`, reason: 'the drill goes on' } });
  expect((await steno.steno('findings', 'unsuppress', made.id)).status).toBe(0);
  writeFileSync(join(rules, 'probe.yml'), rule(`${word}-two`));
  expect((await steno.steno('rules', 'add', join(rules, 'probe.yml'))).stdout).toContain('1 changed');
  await loaded(2);
  await run(`/bin/true ${word}-two`);
  await eventually(
    async () => told.slice(before),
    (more) => more.some((one) => one.finding.rule_version === 2),
  );
  const ofRule = told.slice(before).filter((one) => one.finding.rule === id);
  expect([...new Set(ofRule.map((one) => one.finding.rule_version))]).toEqual([2]);
});

test('a disabled rule finds nothing in later actions', async () => {
  expect((await steno.steno('rules', 'disable', id)).status).toBe(0);
  expect(await stateOf()).toMatchObject({ enabled: false });
  // A finding of another new rule shows that the set without the first rule is in force.
  const other = id.replace(/12$/, '13');
  writeFileSync(join(rules, 'other.yml'), rule(`${word}-three`).replace(id, other));
  expect((await steno.steno('rules', 'add', join(rules, 'other.yml'))).status).toBe(0);
  await eventually(
    async () => (await keptRules()).find((one) => one.id === other),
    (info) => info?.analyzed?.state === 'loaded',
  );
  await run(`/bin/true ${word}-two ${word}-three`);
  const [finding] = await eventually(
    () => findingsOf(other),
    (rows) => rows.length > 0,
  );
  const all = await steno.json<FindingInfo[]>('findings', 'ls', '--rule', id, '--all', '--session', finding!.session);
  expect(all).toEqual([]);
});
