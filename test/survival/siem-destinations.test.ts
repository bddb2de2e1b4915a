/** SIEM destinations of an authority: a real store sends to a real collector while documents and secrets change and the authority goes away. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventId } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { EventFixture } from '#stores/events/conformance.js';
import { exampleEventRow } from '#stores/events/examples.js';
import { openedChdb } from '#stores/events/testing/opened.js';
import { Exporter } from '../../analyzer/siem/exporter.js';
import { HttpsWayOut } from '../../analyzer/siem/https.js';
import { KeptDestinations } from '../../analyzer/siem/kept.js';
import { SyslogWayOut } from '../../analyzer/siem/syslog.js';
import { Collector, makeCertificate } from '../../analyzer/siem/testing/collector.js';
import type { RunningAuthority } from '../../authority/app.js';
import { Cleanup, administrator, authorityIn, clientOf, silent, temporaryFolder } from '../../authority/testing/authority.js';
import type { Administrator } from '../../authority/testing/authority.js';

const cleanup = new Cleanup();
let fixture: EventFixture;
let authority: RunningAuthority;
let admin: Administrator;
let collector: Collector;
let url: string;
let ca: string;
let secret: (name: string, text: string) => void;
let kept: KeptDestinations;
let started: number;

beforeEach(async () => {
  const folder = temporaryFolder(cleanup);
  const certificate = makeCertificate(folder);
  ca = readFileSync(certificate.certificate, 'utf8');
  collector = new Collector(certificate);
  url = await collector.listen();
  cleanup.add(() => collector.close());
  fixture = await openedChdb();
  cleanup.add(async () => {
    await fixture.store.close();
    await fixture.dispose();
  });
  authority = await authorityIn(folder, cleanup);
  mkdirSync(join(folder, 'authority', 'secrets'), { recursive: true });
  secret = (name, text) => writeFileSync(join(folder, 'authority', 'secrets', name), text, { mode: 0o600 });
  admin = await administrator(authority, cleanup);
  const client = await clientOf(authority, { kind: 'analyzer', name: 'a1' }, cleanup);
  started = 0;
  kept = new KeptDestinations({
    authority: client,
    named: new Set(['from-a-file']),
    log: silent,
    lookMs: 50,
    retryMs: 20,
    start: (document, credentials) => {
      started += 1;
      const way =
        document.format === 'ocsf'
          ? new HttpsWayOut(document, () => credentials, 5_000)
          : new SyslogWayOut(document, () => credentials, 5_000);
      const parts = { clock: Date.now, log: silent, lookMs: 5, firstRetryMs: 2, pageRows: 7 };
      return new Exporter({ ...parts, store: fixture.store, destination: document, way });
    },
  });
  cleanup.add(() => kept.close());
}, 60_000);
afterEach(() => cleanup.run());

const put = (name: string, more: object = {}): Promise<unknown> =>
  admin.call('PUT', `/v1/siem-destinations/${name}`, { kind: 'siem', name, format: 'ocsf', url, ca, send: ['events'], ...more });
const remove = (name: string): Promise<unknown> => admin.call('DELETE', `/v1/siem-destinations/${name}`);
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
};
const stateOf = (name: string): string | undefined => kept.report().find((one) => one.name === name)?.state;

let blocks = 0;
async function store(count: number): Promise<readonly string[]> {
  blocks += 1;
  const rows: EventRow[] = Array.from({ length: count }, (_, index) =>
    exampleEventRow({ session: '', source: 'kernel', emitter: 'agent/siem', block: blocks, index }),
  );
  await fixture.store.insert('events', rows, `siem ${blocks}`);
  return rows.map(eventId);
}
const taken = (ids: readonly string[]): boolean => ids.every((id) => collector.taken.includes(id));

test('a document takes effect at once, in its latest version, until it is removed', async () => {
  const before = await store(3);
  secret('lake', 'first');
  await put('lake', { token: { file: 'lake' } });
  await until(() => stateOf('lake') === 'sending');
  const first = await store(20);
  await until(() => taken(first));
  expect(taken(before.slice(0, 1))).toBe(false);
  expect([...collector.authorizations]).toEqual(['Bearer first']);

  // Writing an unchanged document restarts nothing.
  await put('lake', { token: { file: 'lake' } });
  await put('other', { format: 'syslog', url: undefined, address: '127.0.0.1:1' });
  await until(() => stateOf('other') !== undefined);
  expect(started).toBe(2);

  // A new secret under the same document.
  secret('lake', 'second');
  await until(() => started === 3);
  const second = await store(20);
  await until(() => taken(second));
  expect(collector.authorizations).toContain('Bearer second');

  await remove('lake');
  await until(() => stateOf('lake') === undefined);
  const sofar = collector.taken.length;
  const meanwhile = await store(10);
  await until(() => stateOf('other') === 'failing');
  expect(collector.taken).toHaveLength(sofar);

  // Its position in the stored rows is kept under its name.
  await put('lake');
  await until(() => taken(meanwhile));
  expect(new Set(collector.taken)).toEqual(new Set([...first, ...second, ...meanwhile]));
}, 60_000);

test('a document that cannot be served reports the reason, and the others are served', async () => {
  await put('lacking', { token: { file: 'nowhere' } });
  await put('from-a-file');
  await put('served');
  await until(() => stateOf('served') === 'sending' && kept.report().length === 3);
  expect(kept.report()).toMatchObject([
    { name: 'from-a-file', state: 'failing', error: 'the file of this analyzer has a destination of the same name' },
    { name: 'lacking', state: 'failing', error: expect.stringContaining('nowhere') as string },
    { name: 'served', state: 'sending' },
  ]);
  const rows = await store(5);
  await until(() => taken(rows));
  expect(new Set(collector.taken)).toEqual(new Set(rows));
  // Once the secret exists, the unchanged document is served.
  secret('nowhere', 'here');
  await until(() => stateOf('lacking') === 'sending');
}, 60_000);

test('rows are sent while the authority is away', async () => {
  await put('lake');
  await until(() => stateOf('lake') === 'sending');
  await authority.close();
  const rows = await store(30);
  await until(() => taken(rows));
  expect(kept.report()).toMatchObject([{ name: 'lake', state: 'sending', error: '' }]);
}, 60_000);
