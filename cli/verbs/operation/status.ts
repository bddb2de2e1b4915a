/** `steno status`. */
import { Command } from 'commander';
import { showStatus } from '#schemas/api/recordings/status.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { AnalysisReport, QueueName, QueueReport, SiemReport } from '#schemas/api/recordings/status.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { bytes, json, moment, standardOutput, styled, visible } from '../../terminal/output.js';

export function statusCommand(): Command {
  return new Command('status')
    .description('who you are to Steno, and how it is')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const client = openClient(openHome());
      const { profile } = client;
      const report = await call(client.viewer, showStatus, {});
      if (options.json === true) {
        json(standardOutput, {
          user: profile.user,
          roles: profile.roles,
          logins: profile.logins,
          valid_before: profile.valid_before,
          ssh: profile.ssh,
          web: profile.web,
          ...report,
        });
        return;
      }
      const { out, env } = standardOutput;
      const row = (name: string, value: string): void => void out.write(`${styled(out, env, 'dim', name.padEnd(12))} ${value}\n`);
      row('user', `${styled(out, env, 'bold', visible(profile.user))} (${profile.roles.join(', ')})`);
      row('logins', profile.logins.join(', '));
      row('certificate', `until ${moment(profile.valid_before)}`);
      row('gateway', profile.ssh);
      row('viewer', profile.web);
      row('version', report.version);
      row('sessions', `${report.sessions_live} live, ${report.sessions_total} recorded`);
      for (const check of report.checks) {
        row(check.name, `${styled(out, env, check.ok ? 'green' : 'red', check.ok ? 'ok' : 'failing')} ${visible(check.detail)}`);
      }
      if (report.analysis !== null) row('analyzer', analyzerLine(report.analysis));
      for (const one of report.analysis?.siem ?? [])
        row('siem', `${styled(out, env, one.state === 'failing' ? 'red' : 'green', visible(one.name))} ${siemLine(one)}`);
      const waiting = report.queues.filter((queue) => queue.waiting > 0);
      for (const [i, queue] of waiting.entries()) row(i === 0 ? 'background' : '', queueLine(queue, Date.now()));
      if (report.checks.some(({ ok }) => !ok)) process.exitCode = 2;
    });
}

/** `214 rules, 3 live sessions, up to date; 12 findings since it started`. */
function analyzerLine({
  active,
  rules,
  feeds,
  feeds_open,
  sessions,
  behind,
  lag_ms,
  findings,
  findings_dropped,
  faults,
}: AnalysisReport): string {
  if (!active) return 'waits to take over from another one';
  const counted = (count: number, word: string): string => `${count} ${count === 1 ? word : `${word}s`}`;
  const far = behind === 0 ? 'up to date' : `${counted(behind, 'session')} behind, by ${Math.ceil(lag_ms / 1000)} s`;
  const trouble = [
    ...(feeds_open < feeds ? [`${feeds - feeds_open} of ${counted(feeds, 'ingest')} not followed`] : []),
    ...(findings_dropped === 0 ? [] : [`${counted(findings_dropped, 'finding')} not written`]),
    ...(faults === 0 ? [] : [`${counted(faults, 'detector failure')}, see the log`]),
  ];
  return [
    `${counted(rules, 'rule')}, ${counted(sessions, 'open session')}, ${far}`,
    `${counted(findings, 'finding')} since it started`,
    ...trouble,
  ].join('; ');
}

/** `up to date; 4210 rows sent since it started`. */
function siemLine({ state, error, sent, refused, waiting, lag_ms: lag }: SiemReport): string {
  if (state === 'elsewhere') return 'sent by another analyzer';
  if (state === 'waiting') return 'has not begun';
  const behind = `${waiting === 1 ? '1 row waits' : `${waiting} rows wait`}, behind for ${Math.ceil(lag / 1000)} s`;
  return [
    ...(state === 'failing' ? [`failing: ${visible(error)}`] : []),
    ...(lag < 2_000 && waiting === 0 ? (state === 'failing' ? [] : ['up to date']) : [behind]),
    `${sent} rows sent since it started`,
    ...(refused === 0 ? [] : [`${refused} refused, see the log`]),
  ].join('; ');
}

const queueWords: Readonly<Record<QueueName, string>> = {
  sealing: 'sealing ended sessions',
  indexing: 'indexing output',
  storing: 'storing recordings',
  rows: 'writing rows',
  kernel: 'taking kernel events',
};

/** `sealing ended sessions: 163 of 200 left, for 2 min`. */
export function queueLine({ name, unit, waiting, done, since }: QueueReport, now: number): string {
  const amount = (value: number): string => (unit === 'bytes' ? bytes(value) : String(value));
  const seconds = since === null ? 0 : Math.max(0, Math.round((now - since) / 1000));
  const age = seconds < 120 ? `${seconds} s` : seconds < 7_200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3_600)} h`;
  return `${queueWords[name]}: ${amount(waiting)} of ${amount(waiting + done)} left, for ${age}`;
}
