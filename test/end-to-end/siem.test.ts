/** A whole Steno that sends on what it stores: a session's rows reach a collector, and status tells of the destination that is away. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StatusReport } from '#schemas/api/recordings/status.js';
import { Collector, makeCertificate } from '../../analyzer/siem/testing/collector.js';
import { Steno, eventually } from './machine.js';

const steno = new Steno();
const certificate = makeCertificate(steno.folder);
const collector = new Collector(certificate);

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
});

it('what a session did reaches the collector; who is away is said to be', async () => {
  expect((await steno.ssh(`${steno.login}@local.steno`, 'id')).status).toBe(0);
  const [session] = await eventually(
    () => steno.json<{ id: string }[]>('sessions'),
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
