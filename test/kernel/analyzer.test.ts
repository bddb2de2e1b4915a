/** From a command over real ssh, through the kernel of the node, to the row of a finding; and the same after the store's process was killed. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AuditRow, FindingRow } from '#schemas/events/rows.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

const steno = new Steno();
const rules = join(steno.folder, 'rules');
const word = `probe${process.pid}`;

beforeAll(async () => {
  if (missing.length > 0) return;
  mkdirSync(rules);
  writeFileSync(
    join(rules, 'probe.yml'),
    `title: Probe
id: 6f1b3f62-0f07-4d5c-8f2e-0d6f8a3c1b11
logsource: { category: process_creation, product: linux }
detection:
  selection: { CommandLine|contains: ${word} }
  condition: selection
level: high
tags: [attack.discovery, attack.t1082]
`,
  );
  await steno.start('--rules', rules);
  await steno.json('login', '--data', steno.data);
});
afterAll(() => steno.dispose());

const analyzed = async (count: number): Promise<readonly AuditRow[]> =>
  eventually(
    // The call fails while the store's process restarts.
    () =>
      viewerOf(steno)
        .audit({ event: 'session.analyzed' })
        .catch(() => []),
    (rows) => rows.length >= count,
  );

/** Reads the event store of a stopped Steno. */
async function storedFindings(): Promise<readonly FindingRow[]> {
  const store = await openEventStore({ kind: 'chdb', path: join(steno.data, 'store', 'events') });
  try {
    return (await store.findings({ limit: 1000 })).rows;
  } finally {
    await store.close();
  }
}

test.skipIf(missing.length > 0)(
  'a command that a rule matches becomes one finding with its evidence; other commands become none',
  async () => {
    const matched = await steno.ssh(`${steno.login}@local.steno`, `/bin/true ${word}; /bin/true ${word}; /bin/true other`);
    expect(matched.status).toBe(0);
    expect((await steno.ssh(`${steno.login}@local.steno`, '/bin/true nothing')).status).toBe(0);
    await analyzed(2);
    // Kill the analyzer during a session, which its next run must analyze.
    const cut = steno.ssh(`${steno.login}@local.steno`, `/bin/true ${word} again; sleep 3; /bin/true ${word} later`);
    await eventually(
      () => viewerOf(steno).sessions(),
      (rows) => rows.some(({ state }) => state === 'live'),
    );
    process.kill(steno.run.processes['store']!, 'SIGKILL');
    expect((await cut).status).toBe(0);
    await analyzed(3);
    await steno.stop();

    const found = (await storedFindings()).filter(({ rule }) => rule === '6f1b3f62-0f07-4d5c-8f2e-0d6f8a3c1b11');
    const reasons = found.map(({ data }) => (JSON.parse(data) as { reason: string }).reason);
    // Matches within a minute are one finding: the requested command, its shell and its programs, without the programs of the login.
    expect(reasons.filter((reason) => !reason.includes(word))).toEqual([]);
    expect(found.map(({ session }) => session).sort()).toEqual([...new Set(found.map(({ session }) => session))].sort());
    expect(found).toHaveLength(2);
    for (const row of found) {
      expect(row).toMatchObject({ severity: 'high', techniques: ['T1082'], state: 'open', node: 'local', login: steno.login });
      expect(row.evidence[0]).toMatch(new RegExp(`^${row.session}:(?:kernel:agent/local|recording):`));
    }
  },
);
