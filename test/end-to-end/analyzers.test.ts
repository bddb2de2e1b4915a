/** Analyzers as separate services on a ClickHouse server: they share the sessions, and one has all when the other is killed. ClickHouse is chDB behind its HTTP interface. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { openHttpFront } from '#stores/events/testing/http-front.js';
import type { HttpFront } from '#stores/events/testing/http-front.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { Steno, eventually } from './machine.js';
import { joining, startService } from './services.js';
import type { Service } from './services.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('analyzers as separate services', () => {
  const steno = new Steno();
  const files = mkdtempSync(join(tmpdir(), 'steno-analyzers-'));
  const analyzers = new Map<string, { readonly service: Service; readonly health: string }>();
  const rule = '00000000-0000-4000-8000-0000000000aa';
  let front: HttpFront;
  let store: EventStore;

  const start = async (name: string): Promise<void> => {
    const { authority, ingest } = steno.run as unknown as { readonly authority: string; readonly ingest: string };
    const health = `127.0.0.1:${await freePort()}`;
    const config = {
      name,
      data: join(files, name),
      authorities: [authority],
      join: await joining(steno, 'analyzer', name),
      ingest: [ingest],
      events: { url: front.url },
      rules: join(files, 'rules'),
      built_in_rules: false,
      health,
    };
    analyzers.set(name, { service: await startService(steno, 'analyzer', name, config), health });
  };
  const measure = async (name: string, metric: string): Promise<number | undefined> => {
    const text = await fetch(`http://${analyzers.get(name)!.health}/metrics`).then((answer) => answer.text());
    const found = new RegExp(`^steno_analyzer_${metric} (\\S+)$`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const run = async (word: string): Promise<void> => {
    expect((await steno.ssh(`${steno.login}@local.steno`, `/bin/true aa ${word}`)).status).toBe(0);
  };
  const words: string[] = [];
  const bothFound = async (): Promise<boolean> =>
    (await measure('one', 'findings_total'))! > 0 && (await measure('two', 'findings_total'))! > 0;
  const reasons = async (): Promise<readonly string[]> =>
    (await store.findings({ rule, limit: 100 })).rows.map(({ data }) => (JSON.parse(data) as { reason: string }).reason);

  beforeAll(async () => {
    mkdirSync(join(files, 'rules'));
    writeFileSync(
      join(files, 'rules', 'aa.yml'),
      `title: Runs aa\nid: ${rule}\nlogsource: { category: process_creation, product: linux }\ndetection: { selection: { CommandLine|startswith: /bin/true aa }, condition: selection }\n`,
    );
    front = await openHttpFront(join(files, 'events'));
    await steno.start('--events', front.url, '--no-analyzer');
    await steno.json('login', '--data', steno.data);
    store = await openEventStore({ kind: 'server', url: front.url, database: 'steno' });
    await start('one');
    await eventually(
      () => measure('one', 'active'),
      (active) => active === 1,
    );
    await start('two');
  }, 120_000);
  afterAll(async () => {
    await store?.close();
    for (const { service } of analyzers.values()) await service.drain();
    await steno.dispose();
    await front?.close();
    rmSync(files, { recursive: true, force: true });
  });

  test('both analyze sessions, each its own, and one of them leads', async () => {
    await eventually(
      async () => [await measure('one', 'share'), await measure('two', 'share')],
      ([one, two]) => one! > 0 && two! > 0 && one! + two! === 1,
    );
    expect((await measure('one', 'leads'))! + (await measure('two', 'leads'))!).toBe(1);
    for (let made = 1; made <= 40 && !(await bothFound()); made += 1) {
      await run(`first-${made}`);
      words.push(`first-${made}`);
      await eventually(reasons, (all) => all.some((reason) => reason.endsWith(`/bin/true aa first-${made}`)));
    }
    expect(await bothFound()).toBe(true);
    expect(await measure('one', 'findings_total').then(async (one) => one! + (await measure('two', 'findings_total'))!)).toBe(words.length);
  }, 200_000);

  test('the other has every session when the leader is killed, and no finding is lost or repeated', async () => {
    const [leader, other] = (await measure('one', 'leads')) === 1 ? (['one', 'two'] as const) : (['two', 'one'] as const);
    expect(await analyzers.get(leader)!.service.drain('SIGKILL')).toBeNull();
    await run('second');
    await eventually(reasons, (all) => all.some((reason) => reason.endsWith('/bin/true aa second')), 60_000);
    await eventually(
      async () => [await measure(other, 'share'), await measure(other, 'leads')],
      (has) => has.every((value) => value === 1),
      60_000,
    );
    const all = await reasons();
    expect(all.map((reason) => reason.split(' ').at(-1)).sort()).toEqual([...words, 'second'].sort());
  }, 160_000);
});
