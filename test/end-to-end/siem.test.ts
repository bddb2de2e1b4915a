/** A whole Steno that forwards its rows: a session's rows reach a collector, status reports an unreachable destination, and documents work like files. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StatusReport } from '#schemas/api/recordings/status.js';
import { Collector, makeCertificate } from '../../analyzer/siem/testing/collector.js';
import { viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';

const steno = new Steno();
const certificate = makeCertificate(steno.folder);
const collector = new Collector(certificate);
const kept = new Collector(certificate);

beforeAll(async () => {
  const file = join(steno.folder, 'siem.yaml');
  const url = await collector.listen();
  writeFileSync(
    file,
    `destinations:
  - { name: lake, format: ocsf, url: '${url}', ca_file: ${certificate.certificate} }
  - { name: central, format: syslog, address: '127.0.0.1:1', ca_file: ${certificate.certificate} }
`,
  );
  await steno.start('--siem', file);
  await steno.json('login', '--data', steno.data);
});
afterAll(async () => {
  await steno.dispose();
  await collector.close();
  await kept.close();
});

it('the rows of a session reach the collector, and an unreachable destination is reported', async () => {
  expect((await steno.ssh(`${steno.login}@local.steno`, 'id')).status).toBe(0);
  const [session] = await eventually(
    () => viewerOf(steno).sessions(),
    (rows) => rows.length > 0,
  );
  await eventually(
    () => Promise.resolve(collector.taken),
    (all) => all.some((uid) => uid.startsWith(`${session!.id}:`)),
    30_000,
  );
  const { analysis } = await eventually(
    () => steno.json<StatusReport>('status'),
    (report) => report.analysis?.siem.some(({ state }) => state === 'failing') === true,
    30_000,
  );
  expect(analysis!.siem).toMatchObject([
    { name: 'lake', format: 'ocsf', state: 'sending', refused: 0, error: '' },
    { name: 'central', format: 'syslog', state: 'failing', sent: 0, error: expect.stringContaining('ECONNREFUSED') as string },
  ]);
});

it('a destination that is applied as a document gets later rows, with its secret, until it is removed', async () => {
  const url = await kept.listen();
  const secrets = join(steno.data, 'authority', 'secrets');
  mkdirSync(secrets, { recursive: true });
  writeFileSync(join(secrets, 'vault'), 'open-sesame\n', { mode: 0o600 });
  const file = join(steno.folder, 'vault.yaml');
  const ca = readFileSync(certificate.certificate, 'utf8').trimEnd().replaceAll('\n', '\n  ');
  writeFileSync(file, `kind: siem\nname: vault\nformat: ocsf\nurl: ${url}\ntoken: { file: vault }\nsend: [events]\nca: |\n  ${ca}\n`);
  expect((await steno.steno('apply', '-f', file)).stdout).toContain('siem vault created');
  expect((await steno.steno('apply', '-f', file)).stdout).toContain('siem vault is as it was');
  const state = (): Promise<string | undefined> =>
    steno.json<StatusReport>('status').then((report) => report.analysis?.siem.find(({ name }) => name === 'vault')?.state);
  await eventually(state, (is) => is === 'sending', 30_000);
  expect((await steno.ssh(`${steno.login}@local.steno`, 'true')).status).toBe(0);
  await eventually(
    () => Promise.resolve(kept.taken),
    (all) => all.length > 0,
    30_000,
  );
  expect([...kept.authorizations]).toEqual(['Bearer open-sesame']);
  const shown = (await steno.steno('get', 'siem', 'vault')).stdout;
  expect(shown).toContain('file: vault');
  expect(shown).not.toContain('open-sesame');
  expect((await steno.steno('rm', 'siem', 'vault')).stdout).toContain('siem vault removed');
  await eventually(state, (is) => is === undefined, 30_000);
});
