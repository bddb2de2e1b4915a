/**
 * Logins on a node that belong to no session: events of kind `login`, which the agent reports (agent/bypass/). Logins through sshd or
 * the console, through su, and jobs of cron have separate rules, so that each can be suppressed, or responded to, by itself. Tested in
 * bypass.test.ts and test/kernel/bypass.test.ts.
 */
import type { EventRow } from '#schemas/events/rows.js';
import type { Detection, Detector, RuleFacts, SessionDetector } from '../detection/detector.js';
import { dataOf, happened, recorderRule } from './recorder-rule.js';

const DAY_MS = 86_400_000;
/** How much of the past is read at a start: an analyzer may have been down for this long. */
const MEMORY_MS = 7 * DAY_MS;
const MAX_COMMAND = 300;

const bypassed = recorderRule(
  'login-beside-steno',
  'Somebody logged in without Steno',
  'alert',
  'high',
  ['T1078', 'T1021.004'],
  'Find out whose key or password it was, and from where; nothing of it is recorded. Then close the way: have the sshd of the node take Steno certificates only, or listen on loopback.',
);
const suBeside = recorderRule(
  'su-beside-steno',
  'Somebody became another user outside of any session',
  'signal',
  'medium',
  ['T1078.003'],
  'See which login it came from (a login without Steno on the same node, or a script of a service), and suppress what is expected.',
);
const cronBeside = recorderRule(
  'cron-beside-steno',
  'A job of cron ran on the node',
  'signal',
  'info',
  ['T1053.003'],
  'Jobs that nobody knows deserve a look at the table they stand in; suppress those that belong there.',
);

function ruleOf(door: string): RuleFacts {
  if (door === 'su') return suBeside;
  return door === 'cron' ? cronBeside : bypassed;
}

class BypassWatch implements SessionDetector {
  take(observation: Parameters<SessionDetector['take']>[0]): readonly Detection[] {
    if (observation.kind !== 'event' || observation.row.kind !== 'login') return [];
    const { row } = observation;
    const rule = ruleOf(row.name);
    const command = commandOf(row);
    // A job runs as long as its crontab entry exists; logins of people are grouped by day.
    const key =
      rule === cronBeside ? [row.node, row.login, command] : [row.node, row.login, row.name, row.address, Math.floor(row.at / DAY_MS)];
    return [happened(rule, [row], reasonOf(row, command), key.join(' ').slice(0, 400))];
  }
}

function reasonOf({ name, login, node, address, path }: EventRow, command: string): string {
  const from = address === '' ? '' : ` from ${address}`;
  const ran = command === '' ? path : command;
  const how = name === 'sshd' ? 'by the sshd of the node' : name === 'console' ? 'at the console' : `by ${name}`;
  return `${login} on ${node} ${how}${from}${ran === '' ? '' : `, running ${ran}`}`;
}

function commandOf(row: EventRow): string {
  const { argv, asked } = dataOf(row);
  if (typeof asked === 'string') return asked.slice(0, MAX_COMMAND);
  if (!Array.isArray(argv)) return '';
  return argv
    .filter((part): part is string => typeof part === 'string')
    .join(' ')
    .slice(0, MAX_COMMAND);
}

export function bypassDetector(): Detector {
  return {
    name: 'bypass',
    rules: [bypassed, suBeside, cronBeside],
    scope: { kind: 'across', memory: MEMORY_MS, kinds: ['login'] },
    open: () => new BypassWatch(),
  };
}
