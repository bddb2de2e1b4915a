/** `steno access check`: why somebody may, or may not, act as a login on a node. */
import { Command } from 'commander';
import type { AccessExplanation, ExplainedClause } from '#schemas/api.js';
import { openClient } from '../client.js';
import { openHome } from '../home.js';
import { bytes, json, standardOutput, styled, visible } from '../output.js';

export function accessCommand(): Command {
  const command = new Command('access').description('who may do what, and why');
  command
    .command('check')
    .description('say whether a user may act as a login on a node, naming role, rule and line; 77 when not')
    .argument('<user>')
    .argument('<node>')
    .argument('<login>')
    .option('--json', 'print JSON')
    .action(async (user: string, node: string, login: string, options: { json?: boolean }) => {
      const found = await openClient(openHome()).authority<AccessExplanation>('POST', '/v1/access/check', { user, node, login });
      if (options.json === true) json(standardOutput, found);
      else standardOutput.out.write(explanation(found));
      if (!found.allowed || found.lock !== null) process.exitCode = 77;
    });
  return command;
}

export function explanation({ user, node, login, allowed, reason, lock, because, others, terms }: AccessExplanation): string {
  const { out, env } = standardOutput;
  const verdict = allowed && lock === null ? styled(out, env, 'green', 'may') : styled(out, env, 'red', 'may not');
  const lines = [
    `${visible(user)} ${verdict} log in as ${visible(login)} on ${visible(node)}: ${visible(lock === null ? reason : `a lock on ${lock} is in force`)}`,
  ];
  if (lock !== null) lines.push(`  without the lock: ${allowed ? 'allowed' : 'not allowed'}; ${visible(reason)}`);
  lines.push(...because.map(clause));
  lines.push(...others.map(({ role, why }) => `  role ${visible(role)} ${visible(why)}`));
  if (allowed && terms !== undefined) {
    const { recording, enhanced } = terms;
    const words = [
      `recording ${recording.mode}, streams ${recording.streams}${recording.streams === 'limited' ? ` to ${bytes(recording.limit)}` : ''}, kernel events ${enhanced.mode}${enhanced.mode === 'off' ? '' : ` (${enhanced.classes.join(', ')})`}`,
      `port forwarding ${terms.port_forwarding ? 'yes' : 'no'}, agent forwarding ${terms.agent_forwarding ? 'yes' : 'no'}`,
      ...(terms.max_session_length === null ? [] : [`ends after ${duration(terms.max_session_length)}`]),
      ...(terms.idle_timeout === null ? [] : [`ends when idle for ${duration(terms.idle_timeout)}`]),
      ...(terms.max_sessions === null ? [] : [`at most ${terms.max_sessions} at a time`]),
      ...(terms.disconnect_expired_cert ? ['ends with the certificate'] : []),
      ...(terms.require_session_mfa ? ['asks for a second factor each time'] : []),
    ];
    lines.push(`  under the terms of ${terms.roles.map(visible).join(', ')}:`, ...words.map((text) => `    ${text}`));
  }
  return `${lines.join('\n')}\n`;
}

function clause({ role, rule, line, text }: ExplainedClause): string {
  const place = line === null ? '' : `, line ${line}: ${visible(text.slice(0, 120))}`;
  return `  role ${visible(role)}, ${visible(rule)}${place}`;
}

/** Seconds as `1 h 30 min`. */
export function duration(seconds: number): string {
  const parts = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ] as const;
  let left = seconds;
  return parts
    .flatMap(([size, unit]) => {
      const count = Math.floor(left / size);
      left -= count * size;
      return count === 0 ? [] : [`${count} ${unit}`];
    })
    .join(' ');
}
