/** What it costs to read the past of a user, and of the people on nodes with a label: events made by the engine itself, in ninety days. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClickHouseEventStore } from '#stores/events/clickhouse/store.js';
import { openEngine } from '#stores/events/engine/engine.js';
import { exampleSessionRow } from '#stores/events/examples.js';
import { migrate } from '#stores/events/migrations/migrate.js';
import { StoredHistory } from '../../analyzer/baselines/history.js';
import { round3 } from '../measure.js';
import type { Section } from '../measure.js';

const DAY = 86_400_000;
const NOW = 20_800 * DAY + DAY / 2;
const EVENTS_OF_SESSION = 1_000;
const USERS = 200;

export async function baselines(millions: number): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'steno-bench-baselines-'));
  const engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  try {
    await migrate(engine);
    const sessions = (millions * 1_000_000) / EVENTS_OF_SESSION;
    const id = "concat('01m', leftPad(toString(number), 23, '0'))";
    const began = `fromUnixTimestamp64Milli(toInt64(${NOW - 89 * DAY} + intDiv(number * ${88 * DAY}, ${sessions})), 'UTC')`;
    await engine.command(
      `INSERT INTO sessions (session, version, kind, user, node, login, started_at, ended_at, state, bytes_in, bytes_out, labels, labels_known) SELECT ${id}, 1, 'shell', ` +
        `concat('user-', toString(number % ${USERS})), concat('node-', toString(number % 500)), 'root', ${began} AS b, b + toIntervalMinute(10), 'sealed', number % 100000, number % 1000000, ` +
        `map('env', if(number % 3 = 0, 'prod', 'test')), true FROM numbers(${sessions})`,
    );
    for (let part = 0; part < millions; part += 1) {
      const session = `intDiv(number, ${EVENTS_OF_SESSION})`;
      const kind = "multiIf(number % 20 < 4, 'exec', number % 20 < 5, 'connect', 'file')";
      await engine.command(
        `INSERT INTO events (session, source, emitter, block, \`index\`, at, offset_ms, kind, user, node, login, path, address, port, name, outcome, data) SELECT ` +
          `concat('01m', leftPad(toString(${session}), 23, '0')), 'kernel', 'agent/a', 1, number % ${EVENTS_OF_SESSION}, fromUnixTimestamp64Milli(toInt64(${NOW - 89 * DAY} + intDiv(${session} * ${88 * DAY}, ${sessions}) + number % 1000), 'UTC'), ` +
          `number % 1000, ${kind} AS k, concat('user-', toString(${session} % ${USERS})), concat('node-', toString(${session} % 500)), 'root', ` +
          `concat('/usr/bin/tool-', toString(cityHash64(number) % 400)), if(k = 'connect', concat('10.0.', toString(cityHash64(number, 1) % 40), '.1'), ''), if(k = 'connect', 443, NULL), ` +
          `concat('/usr/bin/tool-x word', char(97 + number % 20)), 'success', concat('{"pid":', toString(number % 300), ',"ppid":', toString(number % 299), '}') ` +
          `FROM numbers(${part * 1_000_000}, 1000000)`,
      );
      process.stderr.write(`  ${part + 1} of ${millions} million events\r`);
    }
    const store = new ClickHouseEventStore(engine);
    const before = async (user: string, history: StoredHistory): Promise<number> => {
      const start = performance.now();
      const asking = exampleSessionRow({ user, started_at: NOW, labels: { env: 'prod' }, labels_known: true });
      await history.before(asking);
      await history.formsBefore(asking);
      return performance.now() - start;
    };
    const history = new StoredHistory(store);
    const first = await before('user-7', history);
    const second = await before('user-8', history);
    const again = await before('user-8', history);
    return {
      title: `The past of a session, of ${millions} million events in 90 days`,
      how: `\`npm run bench -- baselines\`. ${sessions} sessions of ${USERS} users, one third on nodes with env=prod. What baselines and the look for another person's commands need, read once a day for each user and each label, on one thread.`,
      header: ['what is read', 'ms'],
      rows: [
        ['the first session of a day: its user, the last 2,000 on nodes with env=prod, and the last 2,000 of all', String(round3(first))],
        ['the first session of another user', String(round3(second))],
        ['another session of that user', String(round3(again))],
      ],
    };
  } finally {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
