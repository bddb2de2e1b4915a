/**
 * How long a retro-hunt takes: one rule, and every rule for Linux, over stored rows made by the engine itself. Command lines are those of
 * everyday work where a set of them lies beside the checkout, so that rules have the candidates that they would have.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Condition } from '#schemas/policy/session-condition.js';
import { ClickHouseEventStore } from '#stores/events/clickhouse/store.js';
import { openEngine } from '#stores/events/engine/engine.js';
import type { Engine } from '#stores/events/engine/engine.js';
import { migrate } from '#stores/events/migrations/migrate.js';
import { factsOf } from '../../analyzer/sigma/rule-facts.js';
import { readRuleFiles } from '../../analyzer/sigma/rule-files.js';
import { loadRules } from '../../analyzer/sigma/rule-set.js';
import { hunt } from '../../analyzer/retro/hunt.js';
import type { SearchedRule } from '../../analyzer/retro/passes.js';
import { round3 } from '../measure.js';
import type { Section } from '../measure.js';

const DAY = 86_400_000;
const NOW = 20_800 * DAY + DAY / 2;
const EVENTS_OF_SESSION = 1_000;
/** Rows of one statement. */
const PORTION = 2_000_000;
const shared = new URL('../../../../shared/', import.meta.url).pathname;

/** Whom the caller of the hunt may view: everybody, as a condition that is asked of each row. */
const everybody: Condition = {
  kind: 'not',
  of: { kind: 'equal', a: { kind: 'user', marked: null }, b: { kind: 'text', text: 'nobody' } },
};

export async function retro(millions: number): Promise<Section> {
  process.stderr.write(`retro-hunts over ${millions} million events\n`);
  const folder = mkdtempSync(join(tmpdir(), 'steno-bench-retro-'));
  const engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  try {
    await migrate(engine);
    const total = millions * 1_000_000;
    await fill(engine, total);
    const [parts] = await engine.read(
      "SELECT count(), sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active",
      {},
    );
    const store = new ClickHouseEventStore(engine);
    const rows: string[][] = [];
    const searched = async (what: string, rules: readonly SearchedRule[], visible?: Condition): Promise<void> => {
      const began = performance.now();
      const used = process.cpuUsage();
      let matches = 0;
      let failed = 0;
      for await (const step of hunt(
        { indexed: visible === undefined, read: (sql) => store.scan(sql, visible) },
        rules,
        { examples: 5 },
        Date.now,
      )) {
        if (step.kind !== 'result') continue;
        matches = step.rules.reduce((sum, { count }) => sum + count, 0);
        failed = step.rules.filter(({ failure }) => failure !== null).length;
      }
      const seconds = (performance.now() - began) / 1000;
      const { user, system } = process.cpuUsage(used);
      rows.push([
        what,
        String(rules.length),
        matches.toLocaleString('en'),
        String(failed),
        round3(seconds),
        round3((user + system) / 1e6),
        round3((seconds * 100) / millions),
      ]);
      process.stderr.write(`  ${rows.at(-1)!.join(', ')}\n`);
    };
    const rules = rulesForLinux();
    for (const { what, id } of singles) {
      const one = rules.filter((rule) => rule.id === id);
      if (one.length > 0) await searched(what, one);
    }
    await searched('every rule of SigmaHQ for Linux', rules);
    const [first] = singles;
    await searched(
      'the first again, by somebody whose role is asked of every row',
      rules.filter((rule) => rule.id === first.id),
      everybody,
    );
    return {
      title: `Retro-hunts over ${millions} million events`,
      how: `Rows as kernels tell them, in ninety days: a tenth programs with everyday command lines, a twentieth connections, most of the rest files; ${(Number(parts![1]) / 2 ** 30).toFixed(1)} GiB in ${String(parts![0])} parts. By somebody who may view everything. The last column is the time for 100 million rows as far as it grows with their number; it was not measured. \`npm run bench -- retro\`.`,
      header: ['what', 'rules', 'matches', 'failed', 's', 's of processor time', 's for 100 million'],
      rows,
    };
  } finally {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One that looks at command lines, one at files, one at the programs of parents. */
const singles = [
  { what: 'one rule, of programs (Crontab Enumeration)', id: '403ed92c-b7ec-4edd-9947-5b535ee12d46' },
  { what: 'one rule, of files (Persistence Via Sudoers Files)', id: 'ddb26b76-4447-4807-871f-1b035b2bfa5d' },
] as const;

function rulesForLinux(): readonly SearchedRule[] {
  const { rules } = readRuleFiles(join(shared, 'sigma', 'rules'));
  return loadRules(rules).evaluable.map(({ rule, scope, predicate }) => ({ id: factsOf(rule).id, scope, predicate }));
}

async function fill(engine: Engine, total: number): Promise<void> {
  const lines = everydayLines();
  await engine.command('CREATE TABLE bench_lines (n UInt32, line String, program String) ENGINE = Join(ANY, LEFT, n)');
  await engine.insert(
    'bench_lines',
    'n, line, program',
    lines.map((line, n) => `${JSON.stringify([n, line, `/usr/bin/${/^[\w.-]*/.exec(line)![0] || 'sh'}`])}\n`).join(''),
    'bench lines',
  );
  const sessions = Math.ceil(total / EVENTS_OF_SESSION);
  const began = (of: string): string =>
    `fromUnixTimestamp64Milli(toInt64(${NOW - 89 * DAY} + intDiv(${of} * ${88 * DAY}, ${sessions})), 'UTC')`;
  await engine.command(
    'INSERT INTO sessions (session, version, kind, user, node, login, started_at, ended_at, state, labels_known) SELECT ' +
      `concat('01m', leftPad(toString(number), 23, '0')), 1, 'shell', concat('user-', toString(number % 200)), concat('node-', toString(number % 500)), 'root', ` +
      `${began('number')} AS b, b + toIntervalMinute(10), 'sealed', true FROM numbers(${sessions})`,
  );
  const session = `intDiv(number, ${EVENTS_OF_SESSION})`;
  const at = `${began(session)} + toIntervalMillisecond((number % ${EVENTS_OF_SESSION}) * 400)`;
  const line = `joinGet('bench_lines', 'line', toUInt32(h % ${lines.length}))`;
  const program = `joinGet('bench_lines', 'program', toUInt32(h % ${lines.length}))`;
  for (let from = 0; from < total; from += PORTION) {
    await engine.command(
      'INSERT INTO events (session, source, emitter, block, `index`, at, offset_ms, kind, user, node, login, path, address, port, name, reason, outcome, data) ' +
        `WITH sipHash64(number) AS h, number % 20 AS turn, multiIf(turn < 2, 'exec', turn < 3, 'connect', turn < 5, 'fork', turn < 7, 'exit', 'file') AS k ` +
        `SELECT concat('01m', leftPad(toString(${session}), 23, '0')), 'kernel', concat('agent/node-', toString(${session} % 500)), 1, number % ${EVENTS_OF_SESSION}, ` +
        `${at}, (number % ${EVENTS_OF_SESSION}) * 400, k, concat('user-', toString(${session} % 200)), concat('node-', toString(${session} % 500)), 'root', ` +
        `multiIf(k = 'exec', ${program}, k = 'file', concat(['/etc/', '/usr/lib/x86_64-linux-gnu/', '/srv/data/', '/home/ann/src/', '/proc/'][1 + h % 5], lower(hex(h % 20000)), '/part-', toString(h % 97)), ''), ` +
        `if(k = 'connect', concat('10.', toString(h % 200), '.', toString(h % 40), '.1'), ''), if(k = 'connect', 443, NULL), ` +
        `multiIf(k = 'exec', ${line}, k = 'file', if(turn = 19, 'create', 'open'), k = 'connect', 'tcp', ''), if(k = 'file', 'read', ''), 'success', ` +
        `multiIf(k = 'exec', concat('{"pid":', toString(number % 30000), ',"ppid":', toString((number + 7) % 30000), ',"uid":0,"cwd":"/srv","argv":', toJSONString(splitByChar(' ', ${line})), '}'), ` +
        `k = 'fork', concat('{"pid":', toString(number % 30000), ',"child":', toString((number + 1) % 30000), '}'), concat('{"pid":', toString(number % 30000), ',"uid":0}')) ` +
        `FROM numbers(${from}, ${Math.min(PORTION, total - from)})`,
    );
    process.stderr.write(`  ${(from + PORTION) / 1e6} million events\r`);
  }
  await engine.command('DROP TABLE bench_lines');
  process.stderr.write('\n');
}

function everydayLines(): readonly string[] {
  const file = join(shared, 'commands', 'benign.jsonl');
  if (!existsSync(file)) return Array.from({ length: 997 }, (_, i) => `tool${i} --input /srv/data/${i} -v`);
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((text) => (JSON.parse(text) as { readonly command: string }).command);
}
