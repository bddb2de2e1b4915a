/** Every stored row reaches a collector over HTTPS despite faults: rows of a real store, a real TLS server with injected faults. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openLog } from '#runtime/log.js';
import { eventId } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { EventFixture } from '#stores/events/conformance.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow } from '#stores/events/examples.js';
import { FaultyEventStore } from '#stores/events/faulty.js';
import { openedChdb } from '#stores/events/testing/opened.js';
import { siemDestination } from './config.js';
import type { SiemDestination } from './config.js';
import { Exporter } from './exporter.js';
import { HttpsWayOut } from './https.js';
import { credentialsInFiles } from './sending.js';
import { Collector, makeCertificate } from './testing/collector.js';
import type { Fate } from './testing/collector.js';

type OcsfDestination = Extract<SiemDestination, { readonly format: 'ocsf' }>;

const folder = mkdtempSync(join(tmpdir(), 'steno-siem-'));
const certificate = makeCertificate(folder);
writeFileSync(join(folder, 'token'), 'open-sesame\n', { mode: 0o600 });
let fixture: EventFixture;
let store: FaultyEventStore;
let collector: Collector;
let url: string;
let names = 0;

beforeAll(async () => {
  fixture = await openedChdb();
  store = new FaultyEventStore(fixture.store);
}, 60_000);
beforeEach(async () => {
  await collector?.close();
  collector = new Collector(certificate);
  url = await collector.listen();
});
afterAll(async () => {
  await collector.close();
  await fixture.store.close();
  await fixture.dispose();
  rmSync(folder, { recursive: true, force: true });
});

function destination(more: Partial<OcsfDestination> = {}): OcsfDestination {
  names += 1;
  const said = { name: `lake-${names}`, format: 'ocsf', url, ca_file: certificate.certificate, token_file: join(folder, 'token'), ...more };
  return siemDestination.parse(said) as OcsfDestination;
}

function exporter(of: OcsfDestination): Exporter {
  const parts = { clock: Date.now, log: openLog('analyzer', 'silent'), lookMs: 5, firstRetryMs: 2, pageRows: 7 };
  return new Exporter({ ...parts, store, destination: of, way: new HttpsWayOut(of, credentialsInFiles(of), 5_000) });
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

let blocks = 0;
const rowsOf = (count: number, more: Partial<EventRow> = {}): readonly EventRow[] => {
  blocks += 1;
  return Array.from({ length: count }, (_, index) =>
    exampleEventRow({ session: '', source: 'kernel', emitter: 'agent/siem', block: blocks, index, ...more }),
  );
};

describe('sending on what is stored', () => {
  it('sends events, audit rows and findings from its first start on, with the token', async () => {
    const of = destination();
    await store.insert('events', rowsOf(3), 'before');
    const running = exporter(of);
    await until(() => running.report().state === 'sending');
    const events = rowsOf(20);
    const [audit, finding] = [exampleAuditRow({ id: 'siem 1' }), exampleFindingRow({ id: 'siem-1' })];
    await store.insert('events', events, 'siem');
    await store.insert('audit', [audit], 'siem');
    await store.insert('findings', [finding], 'siem');
    await until(() => collector.taken.length >= 22);
    expect(new Set(collector.taken)).toEqual(
      new Set([...events.map(eventId), audit.id, `${finding.id} ${finding.version} ${finding.state}`]),
    );
    expect([...collector.authorizations]).toEqual(['Bearer open-sesame']);
    await until(() => running.report().lag_ms === 0);
    expect(running.report()).toMatchObject({ name: of.name, state: 'sending', sent: 22, refused: 0, waiting: 0, error: '' });
    await running.close();
    // After an interruption, the next exporter sends the rows stored meanwhile.
    const later = rowsOf(2, { at: 1_000 });
    await store.insert('events', later, 'while away');
    const again = exporter(of);
    await until(() => later.every((row) => collector.taken.includes(eventId(row))));
    await again.close();
  }, 60_000);

  it('waits while the collector is away, says for how long and how much, and then sends all of it', async () => {
    const of = destination({ send: ['events'] });
    const running = exporter(of);
    await until(() => running.report().state === 'sending');
    collector.fates = ['redirect', ...Array.from({ length: 30 }, (): Fate => 'busy')];
    const rows = rowsOf(25);
    await store.insert('events', rows, 'outage');
    await until(() => running.report().waiting === 25);
    expect(running.report()).toMatchObject({
      state: 'failing',
      error: expect.stringMatching(/the collector answered (?:307|503)/) as string,
    });
    expect(running.report().lag_ms).toBeGreaterThanOrEqual(0);
    collector.fates = [];
    await until(() => rows.every((row) => collector.taken.includes(eventId(row))));
    await running.close();
  }, 60_000);

  it('passes over a row that is refused by itself, and counts it', async () => {
    const of = destination({ send: ['events'] });
    const running = exporter(of);
    await until(() => running.report().state === 'sending');
    collector.poison = 'never-to-be-taken';
    const rows = [...rowsOf(5), ...rowsOf(1, { path: '/never-to-be-taken' }), ...rowsOf(5)];
    await store.insert('events', rows, 'poison');
    await until(() => collector.taken.length >= 10);
    await until(() => running.report().refused === 1);
    expect(new Set(collector.taken)).toEqual(new Set(rows.filter(({ path }) => path !== '/never-to-be-taken').map(eventId)));
    await running.close();
  }, 60_000);

  it('delivers the rows that are stored, all and no others, whatever is refused, cut off, killed or stored twice', async () => {
    const fate = fc.constantFrom<Fate>('take', 'take, and cut off', 'cut off', 'busy', 'redirect');
    const step = fc.record({
      rows: fc.integer({ min: 1, max: 20 }),
      fates: fc.array(fate, { maxLength: 4 }),
      again: fc.boolean(),
      /** Stops the exporter in the middle and starts another. */
      restart: fc.boolean(),
      keepFails: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 5 }), async (steps) => {
        const of = destination({ send: ['events'] });
        let running = exporter(of);
        await until(() => running.report().state === 'sending');
        collector.taken.length = 0;
        const stored: EventRow[] = [];
        for (const { rows: count, fates, again, restart, keepFails } of steps) {
          collector.fates = [...fates];
          if (keepFails) store.faults.failBefore('keepPosition');
          const rows = rowsOf(count);
          stored.push(...rows);
          await store.insert('events', rows, `property ${blocks}`);
          if (again) await store.insert('events', stored.slice(-3), `property ${blocks} again`);
          if (!restart) continue;
          await running.close();
          running = exporter(of);
        }
        collector.fates = [];
        const wanted = new Set(stored.map(eventId));
        await until(() => [...wanted].every((id) => collector.taken.includes(id)));
        expect(new Set(collector.taken)).toEqual(wanted);
        await running.close();
      }),
      { numRuns: 12 },
    );
  }, 120_000);
});
