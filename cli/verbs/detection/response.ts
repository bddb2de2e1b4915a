/** `steno findings response`: from findings to the first look, to a lock, to the end of their sessions, to closed. */
import { Command } from 'commander';
import { showResponse } from '#schemas/api/recordings/response.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { responseMeasures, trendOf } from '#schemas/events/response.js';
import type { Measured, ResponseMonth } from '#schemas/events/response.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { parseMoment } from '../../terminal/arguments.js';
import { json, standardOutput, styled, table } from '../../terminal/output.js';

interface Options {
  readonly since?: number;
  readonly until?: number;
  readonly json?: boolean;
}

const titles = { look: 'FIRST LOOK', lock: 'LOCK', ended: 'SESSION ENDED', closed: 'CLOSED' } as const;

export function addResponse(findings: Command): void {
  findings
    .command('response')
    .description('how long it took from findings to the first look, to a lock, to the end of the session, to closed; by month')
    .option('--since <when>', 'findings from this moment on; twelve months unless told', (value) => parseMoment(value))
    .option('--until <when>', 'findings up to this moment', (value) => parseMoment(value))
    .option('--json', 'print JSON, with the 90th percentile')
    .addHelpText('after', '\nMedians, with the number of findings of which it was measured. Exit code 1 when there are no findings.')
    .action(async ({ since, until, json: asJson }: Options) => {
      const answer = await call(openClient(openHome()).viewer, showResponse, { query: { from: since, to: until } });
      const { months } = answer;
      if (months.length === 0) process.exitCode = 1;
      const trend = Object.fromEntries(responseMeasures.map((measure) => [measure, trendOf(months, measure)]));
      if (asJson === true) return json(standardOutput, { ...answer, trend });
      if (months.length === 0) return void standardOutput.err.write('No findings in this time.\n');
      table<ResponseMonth>(standardOutput, months, [
        { title: 'MONTH', value: ({ month }) => new Date(month).toISOString().slice(0, 7), style: () => 'bold' },
        { title: 'FINDINGS', align: 'right', value: ({ findings: count }) => String(count) },
        ...responseMeasures.map((measure) => ({
          title: titles[measure],
          align: 'right' as const,
          value: (month: ResponseMonth) => textOf(month[measure]),
        })),
      ]);
      const { out, env } = standardOutput;
      const said = responseMeasures.flatMap((measure) => {
        const change = trend[measure];
        return change === null || change === undefined ? [] : [`${titles[measure].toLowerCase()} ${trendText(change)}`];
      });
      if (said.length > 0) out.write(`\n${styled(out, env, 'dim', 'newer months against older ones:')} ${said.join(', ')}\n`);
    });
}

function textOf({ count, median }: Measured): string {
  return median === null ? '–' : `${span(median)} (${count})`;
}

const units = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
] as const;

/** In the largest unit of which there is one, with a decimal where that is few. */
function span(ms: number): string {
  const [unit, name] = units.find(([length]) => ms >= length) ?? units[3];
  const value = ms / unit;
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} ${name}`;
}

function trendText(change: number): string {
  const percent = Math.round(Math.abs(change) * 100);
  return percent === 0 ? 'as before' : `${percent} % ${change < 0 ? 'faster' : 'slower'}`;
}
