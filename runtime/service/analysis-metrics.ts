/**
 * An analyzer's counters in Prometheus' text format 0.0.4: on a viewer's `/metrics` and on the analyzer's own. Tested in
 * analysis-metrics.test.ts.
 */
import type { AnalysisReport, SiemReport } from '#schemas/api/recordings/status.js';

interface Metric {
  readonly name: string;
  readonly kind: 'gauge' | 'counter';
  readonly help: string;
  readonly value: (report: AnalysisReport) => number;
}

const metrics: readonly Metric[] = [
  {
    name: 'active',
    kind: 'gauge',
    help: '1 while this analyzer follows sessions, 0 while it waits for others to leave.',
    value: ({ active }) => Number(active),
  },
  {
    name: 'leads',
    kind: 'gauge',
    help: '1 while this analyzer runs the detectors that look across sessions.',
    value: ({ leads }) => Number(leads),
  },
  { name: 'share', kind: 'gauge', help: 'Part of all sessions that this analyzer follows, 0 to 1.', value: ({ share }) => share },
  { name: 'rules', kind: 'gauge', help: 'Rules in force.', value: ({ rules }) => rules },
  { name: 'feeds_open', kind: 'gauge', help: 'Ingests whose rows are being followed.', value: ({ feeds_open: open }) => open },
  { name: 'sessions', kind: 'gauge', help: 'Sessions being followed.', value: ({ sessions }) => sessions },
  { name: 'sessions_behind', kind: 'gauge', help: 'Sessions with rows not analyzed yet.', value: ({ behind }) => behind },
  { name: 'lag_seconds', kind: 'gauge', help: 'Age of the oldest row not analyzed yet.', value: ({ lag_ms }) => lag_ms / 1000 },
  { name: 'rows_total', kind: 'counter', help: 'Rows analyzed since the start.', value: ({ rows }) => rows },
  { name: 'findings_total', kind: 'counter', help: 'Findings written since the start.', value: ({ findings }) => findings },
  {
    name: 'findings_waiting',
    kind: 'gauge',
    help: 'Findings waiting for the event store.',
    value: ({ findings_waiting: waiting }) => waiting,
  },
  {
    name: 'findings_dropped_total',
    kind: 'counter',
    help: 'Findings that could not be written; their sessions are analyzed again.',
    value: ({ findings_dropped: dropped }) => dropped,
  },
  {
    name: 'beyond_limits_total',
    kind: 'counter',
    help: 'Matches dropped because of the limit of a session or a rule.',
    value: ({ beyond }) => beyond,
  },
  {
    name: 'announced_total',
    kind: 'counter',
    help: 'Findings reported to the authority since the start.',
    value: ({ announced }) => announced,
  },
  {
    name: 'announcements_waiting',
    kind: 'gauge',
    help: 'Findings waiting to be reported to the authority.',
    value: ({ announcements_waiting: waiting }) => waiting,
  },
  {
    name: 'announcements_lost_total',
    kind: 'counter',
    help: 'Findings that could not be reported to the authority or that it refused; their sessions are analyzed again.',
    value: ({ announcements_lost: lost }) => lost,
  },
  {
    name: 'detector_faults_total',
    kind: 'counter',
    help: 'Detectors that failed and were disabled for a session.',
    value: ({ faults }) => faults,
  },
];

/** Metrics of each SIEM destination. */
const siemMetrics: readonly (readonly [string, 'gauge' | 'counter', string, (report: SiemReport) => number])[] = [
  ['failing', 'gauge', '1 while the destination does not accept rows.', ({ state }) => Number(state === 'failing')],
  ['sent_rows_total', 'counter', 'Rows delivered since the start.', ({ sent }) => sent],
  ['refused_rows_total', 'counter', 'Rows that the destination refused.', ({ refused }) => refused],
  ['waiting_rows', 'gauge', 'Rows stored and not yet delivered, at the last count.', ({ waiting }) => waiting],
  ['lag_seconds', 'gauge', 'How long there have been undelivered rows.', ({ lag_ms }) => lag_ms / 1000],
];

export interface Analysis {
  readonly report: AnalysisReport;
  /** By rule id, since the start: matches, and milliseconds of evaluation. */
  readonly hits: ReadonlyMap<string, number>;
  readonly costs: ReadonlyMap<string, number>;
}

export function analysisMetrics({ report, hits, costs }: Analysis): string {
  const matches = 'steno_rule_matches_total';
  const seconds = 'steno_rule_evaluation_seconds_total';
  return metrics
    .flatMap(({ name, kind, help, value }) => [
      `# HELP steno_analyzer_${name} ${help}`,
      `# TYPE steno_analyzer_${name} ${kind}`,
      `steno_analyzer_${name} ${value(report)}`,
    ])
    .concat(
      siemMetrics.flatMap(([name, kind, help, value]) => [
        ...(report.siem.length === 0 ? [] : [`# HELP steno_siem_${name} ${help}`, `# TYPE steno_siem_${name} ${kind}`]),
        ...report.siem.map((one) => `steno_siem_${name}{destination="${escaped(one.name)}"} ${value(one)}`),
      ]),
    )
    .concat(
      `# HELP ${matches} Events matched by a rule since the start.`,
      `# TYPE ${matches} counter`,
      ...[...hits].filter(([, count]) => count > 0).map(([rule, count]) => `${matches}{rule="${escaped(rule)}"} ${count}`),
      `# HELP ${seconds} Time spent evaluating a rule since the start, estimated from a sample of events.`,
      `# TYPE ${seconds} counter`,
      ...[...costs].map(([rule, ms]) => `${seconds}{rule="${escaped(rule)}"} ${(ms / 1000).toFixed(6)}`),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
