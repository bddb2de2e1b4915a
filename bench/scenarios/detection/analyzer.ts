/** Rows per second that the analyzer handles: rows as ingest sends them, through messages, a session's run and every detector of a session. */
import { existsSync } from 'node:fs';
import { rowMessages, parseRowMessage } from '#schemas/row-feed.js';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { detectorsOf } from '../../../analyzer/detectors/detector-set.js';
import { builtInRules, readRuleBook } from '../../../analyzer/detectors/rule-book.js';
import { DetectionRun } from '../../../analyzer/following/detection-run.js';
import { exampleSessionRow } from '#stores/events/examples.js';
import type { Section } from '../../measure.js';

const ROWS = 500;

/** Rows of one session: programs, forks, files and connections of a busy shell; no two alike. */
function rowsOf(count: number, session: string): EventRow[] {
  const base = { session, source: 'kernel', emitter: 'agent/web-3', user: 'ann', node: 'web-3', login: 'root', ...noFacts } as const;
  return Array.from({ length: count }, (_, i): EventRow => {
    const at = 1_770_000_000_000 + i;
    const place = { block: Math.floor(i / 4_000), index: i % 4_000, at, offset_ms: i };
    const pid = 1_000 + (i % 5_000);
    switch (i % 10) {
      case 0:
        return {
          ...base,
          ...place,
          kind: 'exec',
          path: `/usr/bin/tool${i % 97}`,
          name: `tool${i % 97} --input /srv/data/${i} -v`,
          outcome: 'success',
          data: JSON.stringify({ pid, ppid: pid - 1, uid: 0, cwd: '/srv', argv: [`tool${i % 97}`, '--input', `/srv/data/${i}`, '-v'] }),
        };
      case 1:
        return { ...base, ...place, kind: 'fork', data: JSON.stringify({ pid: pid - 1, child: pid }) };
      case 2:
        return {
          ...base,
          ...place,
          kind: 'connect',
          name: 'tcp',
          address: `10.0.${i % 250}.7`,
          port: 443,
          outcome: 'success',
          data: JSON.stringify({ pid }),
        };
      default:
        return {
          ...base,
          ...place,
          kind: 'file',
          name: i % 3 === 0 ? 'create' : 'open',
          reason: 'read',
          path: `/srv/data/${i % 9_973}/part-${i}`,
          outcome: 'success',
          data: JSON.stringify({ pid, uid: 0 }),
        };
    }
  });
}

const shared = new URL('../../../../../shared/sigma', import.meta.url).pathname;

export async function analyzing(rounds: number, count: number): Promise<Section> {
  process.stderr.write('analyzer: rows a second\n');
  const builtIn = builtInRules();
  const book = readRuleBook([...(builtIn === null ? [] : [builtIn]), ...(existsSync(shared) ? [shared] : [])]);
  const session = '01kfg0000000000000000000zz';
  const rows = rowsOf(count, session);
  const messages: string[] = [];
  for (let from = 0; from < rows.length; from += ROWS)
    messages.push(...rowMessages({ events: rows.slice(from, from + ROWS), screen: [], sessions: [] }, true));
  const rates: { readonly whole: number; readonly detectors: number }[] = [];
  let findings = 0;
  for (let round = 0; round <= rounds; round += 1) {
    const runOver = async (batches: Iterable<readonly EventRow[]>): Promise<number> => {
      findings = 0;
      const set = detectorsOf(book);
      const run = await DetectionRun.open(
        {
          detectors: set.perSession,
          ruleVersion: (rule) => set.version(rule),
          onFinding: () => (findings += 1),
          onFault: (name, error) => {
            throw new Error(`detector ${name}`, { cause: error });
          },
          onBeyond: () => undefined,
          onObservation: () => undefined,
        },
        exampleSessionRow({ session }),
      );
      const began = performance.now();
      for (const batch of batches) for (const row of batch) run.event(row);
      return (count / (performance.now() - began)) * 1000;
    };
    const detectors = await runOver([rows]);
    const whole = await runOver(
      (function* () {
        for (const message of messages) yield parseRowMessage(message)!.events;
      })(),
    );
    // The first run warms up.
    if (round > 0) rates.push({ whole, detectors });
  }
  const middle = (of: (rate: (typeof rates)[number]) => number): string => {
    const sorted = rates.map(of).sort((a, b) => a - b);
    return Math.round(sorted[Math.floor(sorted.length / 2)]!).toLocaleString('en');
  };
  return {
    title: 'Analyzer: rows a second on one core',
    how: `${count.toLocaleString('en')} rows of one session (a tenth executions, most of the rest files), every per-session detector with ${book.evaluable.length} Sigma rules that can be evaluated; ${findings} findings. Median of ${rounds}. \`npm run bench -- analyzer\`.`,
    header: ['what', 'rows/s'],
    rows: [
      ['detectors alone', middle(({ detectors }) => detectors)],
      ['messages parsed and checked, then detectors', middle(({ whole }) => whole)],
    ],
  };
}
